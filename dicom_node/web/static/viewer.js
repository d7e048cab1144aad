// Pictures of a study: the outline over the frame, zoom, and a cine player with HC by frame.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const FRAME_MS = 120;

  function draw(parent, name, attributes) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent.append(node);
    return node;
  }

  class Viewer {
    constructor(root) {
      this.root = root;
      this.findings = JSON.parse(root.dataset.findings);
      this.number = Number(root.dataset.frame);
      this.image = root.querySelector("img");
      this.paper = root.querySelector(".paper");
      this.count = 1;
      this.timer = null;
      this.overlay = draw(this.paper, "svg", { preserveAspectRatio: "none", "aria-hidden": "true" });
      root.querySelector(".tools").hidden = false;
      root.querySelector(".overlay").addEventListener("change", (event) => {
        this.overlay.style.display = event.target.checked ? "" : "none";
      });
      root.querySelector(".zoom").addEventListener("input", (event) => {
        this.paper.style.width = `${100 * event.target.value}%`;
      });
      this.image.addEventListener("load", () => this.outline());
      this.image.addEventListener("error", () => this.paper.classList.remove("waiting"));
      if (this.image.complete && this.image.naturalWidth) this.outline();
      this.ask();
    }

    async ask() {
      const answer = await fetch(`/instances/${this.root.dataset.id}/frames`);
      if (!answer.ok) return;
      this.count = (await answer.json()).count;
      if (this.count < 2) return;
      this.slider = this.root.querySelector(".frame");
      this.slider.max = this.count;
      this.slider.value = this.number;
      this.slider.addEventListener("input", () => this.show(Number(this.slider.value)));
      this.button = this.root.querySelector(".play");
      this.button.addEventListener("click", () => this.toggle());
      this.root.querySelector(".cine").hidden = false;
      this.chart();
      this.tell();
    }

    show(number) {
      this.number = number;
      this.image.src = `/instances/${this.root.dataset.id}/frames/${number}.png`;
      if (this.slider) this.slider.value = number;
      this.tell();
    }

    tell() {
      this.root.querySelector(".which").textContent = `${this.root.dataset.frameWord} ${this.number} / ${this.count}`;
      for (const dot of this.root.querySelectorAll(".perframe .dot")) {
        dot.classList.toggle("now", Number(dot.dataset.frame) === this.number);
      }
    }

    toggle() {
      const playing = this.timer !== null;
      if (playing) {
        clearTimeout(this.timer);
        this.timer = null;
      } else {
        this.timer = 0;
        this.step();
      }
      this.button.textContent = playing ? this.root.dataset.play : this.root.dataset.pause;
    }

    step() {
      // the next frame is asked for when this one is there: a slow node is not overrun
      const go = () => { if (this.timer !== null) this.timer = setTimeout(() => this.step(), FRAME_MS); };
      this.image.addEventListener("load", go, { once: true });
      this.show(this.number % this.count + 1);
    }

    outline() {
      const width = this.image.naturalWidth, height = this.image.naturalHeight;
      this.paper.classList.remove("waiting");
      this.overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.overlay.replaceChildren();
      for (const finding of this.findings) {
        const e = finding.ellipse;
        if (!e || finding.frame !== this.number) continue;
        // pixel 0 has its centre at 0 in the answer and at a half in the picture
        const column = e.center_col_px + 0.5, row = e.center_row_px + 0.5;
        draw(this.overlay, "ellipse", {
          cx: column, cy: row, rx: e.semi_major_px, ry: e.semi_minor_px,
          transform: `rotate(${e.angle_deg} ${column} ${row})`,
          class: finding.status === "measured" ? "measured" : "uncertain",
        });
      }
    }

    chart() {
      const measured = this.findings.filter((finding) => finding.hc_mm !== null);
      if (!measured.length) return;
      const svg = this.root.querySelector(".perframe");
      const width = 460, height = 110, left = 36, right = 8, top = 8, bottom = 18;
      const ends = measured.flatMap((f) => [f.hc_mm, f.hc_low_mm ?? f.hc_mm, f.hc_high_mm ?? f.hc_mm]);
      const low = Math.min(...ends) - 1, high = Math.max(...ends) + 1;
      const x = (frame) => left + (frame - 1) / Math.max(1, this.count - 1) * (width - left - right);
      const y = (mm) => height - bottom - (mm - low) / (high - low) * (height - top - bottom);
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      draw(svg, "line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom });
      for (const mm of [low + 1, high - 1]) {
        draw(svg, "text", { x: left - 4, y: y(mm) + 4, "text-anchor": "end" }).textContent = mm.toFixed(0);
      }
      draw(svg, "text", { x: left, y: height - 4 }).textContent = "1";
      draw(svg, "text", { x: width - right, y: height - 4, "text-anchor": "end" }).textContent = this.count;
      for (const f of this.findings) {
        const has = f.hc_mm !== null;
        if (has && f.hc_low_mm !== null) {
          draw(svg, "line", { class: "bar", x1: x(f.frame), x2: x(f.frame), y1: y(f.hc_low_mm), y2: y(f.hc_high_mm) });
        }
        const dot = draw(svg, "circle", {
          class: has ? "dot" : "dot none", cx: x(f.frame), cy: has ? y(f.hc_mm) : height - bottom, r: 4,
          "data-frame": f.frame,
        });
        dot.addEventListener("click", () => this.show(f.frame));
        draw(dot, "title", {}).textContent = `${f.frame}: ${has ? `${f.hc_mm} mm` : f.reason}`;
      }
      svg.hidden = false;
      svg.removeAttribute("hidden");
    }
  }

  for (const root of document.querySelectorAll(".viewer")) new Viewer(root);
})();
