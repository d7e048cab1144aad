// HC by frame of a cine, and below it how much each frame counts where the frames agree; for viewer.js and try.js.
"use strict";
window.fetalhc = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const WIDTH = 460, LEFT = 36, RIGHT = 8, TOP = 8, FOOT = 92, STRIP = 26;

  function draw(parent, name, attributes) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent.append(node);
    return node;
  }

  function weightBars(svg, weights, x, word) {
    const largest = Math.max(...weights.map(([, weight]) => weight));
    const foot = FOOT + STRIP;
    draw(svg, "text", { x: LEFT - 4, y: foot, "text-anchor": "end", textLength: LEFT - 6, lengthAdjust: "spacingAndGlyphs" })
      .textContent = word;
    for (const [frame, weight] of weights) {
      const tall = Math.max(1, (STRIP - 6) * weight / largest);
      const bar = draw(svg, "rect", { class: "weight", x: x(frame) - 3, y: foot - tall, width: 6, height: tall });
      draw(bar, "title", {}).textContent = `${frame}: ${weight.toFixed(3)}`;
    }
  }

  // `weights`: [frame, weight] of each frame in the consensus, none for a still; `pick`: what a click on a frame does
  function byFrame(svg, { findings, weights, first, last, weightWord, pick }) {
    const measured = findings.filter((finding) => finding.hc_mm !== null);
    if (!measured.length) return;
    const ends = measured.flatMap((f) => [f.hc_mm, f.hc_low_mm ?? f.hc_mm, f.hc_high_mm ?? f.hc_mm]);
    const low = Math.min(...ends) - 1, high = Math.max(...ends) + 1;
    const x = (frame) => LEFT + (frame - first) / Math.max(1, last - first) * (WIDTH - LEFT - RIGHT);
    const y = (mm) => FOOT - (mm - low) / (high - low) * (FOOT - TOP);
    const height = FOOT + (weights.length ? STRIP : 0) + 18;
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
    draw(svg, "line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: FOOT, y2: FOOT });
    for (const mm of high - low < 4 ? [(low + high) / 2] : [low + 1, high - 1]) {
      draw(svg, "text", { x: LEFT - 4, y: y(mm) + 4, "text-anchor": "end" }).textContent = mm.toFixed(0);
    }
    draw(svg, "text", { x: LEFT, y: height - 4 }).textContent = first;
    draw(svg, "text", { x: WIDTH - RIGHT, y: height - 4, "text-anchor": "end" }).textContent = last;
    if (weights.length) weightBars(svg, weights, x, weightWord);
    for (const f of findings) {
      const has = f.hc_mm !== null;
      if (has && f.hc_low_mm !== null) {
        draw(svg, "line", { class: "bar", x1: x(f.frame), x2: x(f.frame), y1: y(f.hc_low_mm), y2: y(f.hc_high_mm) });
      }
      const dot = draw(svg, "circle", {
        class: has ? "dot" : "dot none", cx: x(f.frame), cy: has ? y(f.hc_mm) : FOOT, r: 4, "data-frame": f.frame,
      });
      dot.addEventListener("click", () => pick(f.frame));
      draw(dot, "title", {}).textContent = `${f.frame}: ${has ? `${f.hc_mm} mm` : f.reason}`;
    }
    svg.removeAttribute("hidden");
  }

  return { draw, byFrame };
})();
