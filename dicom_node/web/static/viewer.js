// Pictures of a study: the outline over the frame, zoom, and a cine player with HC by frame.
"use strict";
(() => {
  const { draw, byFrame } = window.fetalhc;
  const FRAME_MS = 120;

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
      byFrame(this.root.querySelector(".perframe"), {
        findings: this.findings,
        weights: JSON.parse(this.root.dataset.weights),
        first: 1,
        last: this.count,
        weightWord: this.root.dataset.weightWord,
        pick: (frame) => this.show(frame),
      });
    }
  }

  for (const root of document.querySelectorAll(".viewer")) new Viewer(root);
})();
