// What a chart says where one points at it, or walks along it with the arrow keys; without it, its table says the same.

/** svg: a chart with its points, [share of the width, y, colour, where, what], in the order of its lines. */
export function readable(svg) {
  const group = svg.querySelector(".hover");
  const points = JSON.parse(group.dataset.points);
  const top = Number(svg.dataset.top);
  const bottom = top + Number(svg.dataset.plot);
  const percent = (share) => `${100 * share}%`;
  let at = -1;
  const add = (name, values, words = "") => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in values) node.setAttribute(key, values[key]);
    node.textContent = words;
    group.append(node);
  };
  const show = (index) => {
    at = Math.max(0, Math.min(points.length - 1, index));
    const [x, y, colour, where, what] = points[at];
    const right = x > 0.5;
    const text = { x: percent(x), dx: right ? -8 : 8, "text-anchor": right ? "end" : "start" };
    group.replaceChildren();
    add("line", { x1: percent(x), x2: percent(x), y1: top, y2: bottom });
    add("circle", { cx: percent(x), cy: y, r: 4.5, class: colour });
    add("text", { ...text, y: Math.max(top + 12, y - 24) }, what);
    add("text", { ...text, y: Math.max(top + 26, y - 10) }, where);
  };
  svg.addEventListener("pointermove", (event) => {
    const frame = svg.getBoundingClientRect();
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    const away = points.map(([share, height]) => Math.abs(share * frame.width - x) + Math.abs(height - y) * 0.15);
    show(away.indexOf(Math.min(...away)));
  });
  for (const leaves of ["pointerleave", "blur"]) svg.addEventListener(leaves, () => group.replaceChildren());
  svg.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
    event.preventDefault();
    show(at + (event.key === "ArrowRight" ? 1 : -1));
  });
}
