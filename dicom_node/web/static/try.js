// A picture that was tried out: layers, frames, HC by frame; and the form's drop zone.
"use strict";
(() => {
  const { draw, byFrame } = window.fetalhc;
  const FRAME_MS = 250;

  class Seen {
    constructor(figure) {
      this.figure = figure;
      this.frames = JSON.parse(figure.dataset.frames);
      this.findings = JSON.parse(figure.dataset.findings);
      this.measured = Number(figure.dataset.frame);
      this.place = Math.max(0, this.frames.indexOf(this.measured));
      this.layer = "";
      this.image = figure.querySelector("img");
      this.outline = figure.querySelector(".picture svg");
      const layers = figure.querySelector(".layers");
      layers.hidden = false;
      layers.querySelector(".outline").addEventListener("change", (event) => {
        this.outline.toggleAttribute("hidden", !event.target.checked);
        this.outline.style.display = event.target.checked ? "" : "none";
      });
      for (const radio of layers.querySelectorAll("input[type=radio]")) {
        radio.addEventListener("change", () => this.choose(radio.value));
      }
      this.slider = figure.querySelector("input[type=range]");
      if (!this.slider) return;
      figure.querySelector(".frames").hidden = false;
      this.button = figure.querySelector(".play");
      this.slider.value = this.place;
      this.slider.addEventListener("input", () => this.show(Number(this.slider.value)));
      this.button.addEventListener("click", () => this.toggle());
      this.chart();
      this.tell();
    }

    choose(layer) {
      // the layers are of the measured frame
      this.layer = layer;
      if (layer) this.place = Math.max(0, this.frames.indexOf(this.measured));
      this.show(this.place, layer);
    }

    show(place, layer = "") {
      this.place = place;
      if (!layer) this.figure.querySelector(".layers input[type=radio]").checked = true;
      const frame = this.frames[place];
      this.image.src = `${this.figure.dataset.base}/${layer || `frame-${frame}.png`}`;
      this.outline.replaceChildren();
      for (const finding of this.findings) {
        const e = finding.ellipse;
        if (!e || finding.frame !== frame) continue;
        // pixel 0 has its centre at 0 in the answer and at a half in the picture
        const column = e.center_col_px + 0.5, row = e.center_row_px + 0.5;
        draw(this.outline, "ellipse", {
          class: finding.status, cx: column, cy: row, rx: e.semi_major_px, ry: e.semi_minor_px,
          transform: `rotate(${e.angle_deg} ${column} ${row})`,
        });
      }
      if (this.slider) {
        this.slider.value = place;
        this.tell();
      }
    }

    tell() {
      const frame = this.frames[this.place];
      this.figure.querySelector(".which").textContent = `${this.figure.dataset.word} ${frame}`;
      for (const dot of this.figure.querySelectorAll(".dot")) {
        dot.classList.toggle("now", Number(dot.dataset.frame) === frame);
      }
    }

    toggle() {
      const playing = this.timer !== undefined;
      if (playing) {
        clearInterval(this.timer);
        this.timer = undefined;
      } else {
        this.timer = setInterval(() => this.show((this.place + 1) % this.frames.length), FRAME_MS);
      }
      this.button.textContent = playing ? this.button.dataset.play : this.button.dataset.pause;
    }

    chart() {
      byFrame(this.figure.querySelector(".by-frame"), {
        findings: this.findings,
        weights: JSON.parse(this.figure.dataset.weights),
        first: this.frames[0],
        last: this.frames[this.frames.length - 1],
        weightWord: this.figure.dataset.weightWord,
        pick: (frame) => this.show(this.frames.indexOf(frame)),
      });
    }
  }

  for (const figure of document.querySelectorAll("figure.seen")) new Seen(figure);

  for (const form of document.querySelectorAll("form.trying")) {
    const drop = form.querySelector(".drop"), input = drop.querySelector("input");
    for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", over);
        if (name === "drop" && event.dataTransfer.files.length) input.files = event.dataTransfer.files;
      });
    }
    input.addEventListener("change", () => { form.elements.example.value = ""; });
    form.elements.example.addEventListener("change", (event) => { if (event.target.value) input.value = ""; });
    form.addEventListener("submit", () => {
      const button = form.querySelector("button[type=submit]");
      button.setAttribute("aria-busy", "true");
      button.textContent = form.dataset.busy;
    });
  }
})();
