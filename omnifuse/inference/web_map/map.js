"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const viewer = find("viewer"), canvas = find("canvas"), divider = find("divider"), readout = find("readout");
  const context = canvas.getContext("2d");
  const NONE = 255;
  const wide = data.width * data.metres[0], high = data.height * data.metres[1]; // of the map, in metres on the ground
  const hidden = new Set(); // classes that are switched off
  const view = { x: wide / 2, y: high / 2, scale: 1, swipe: 0.5, fitted: true, peek: false }; // metres from the upper left corner; screen pixels per metre
  let classes = null, confidence = null, probabilities = [], painted = null, pictures = [], marker = null;

  // ---- pixels: the PNGs are not filtered, so that inflating them gives their numbers; a canvas need not give back what was drawn on it

  async function indices(uri) {
    const file = Uint8Array.from(atob(uri.slice(uri.indexOf(",") + 1)), (letter) => letter.charCodeAt(0));
    const bytes = new DataView(file.buffer), parts = [];
    let width = 0, height = 0;
    for (let at = 8; at < file.length; ) {
      const length = bytes.getUint32(at), name = String.fromCharCode(...file.subarray(at + 4, at + 8));
      if (name === "IHDR") [width, height] = [bytes.getUint32(at + 8), bytes.getUint32(at + 12)];
      if (name === "IDAT") parts.push(file.subarray(at + 8, at + 8 + length));
      at += length + 12;
    }
    const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
    const rows = new Uint8Array(await new Response(stream).arrayBuffer());
    const index = new Uint8Array(width * height);
    for (let row = 0; row < height; row++) {
      index.set(rows.subarray(row * (width + 1) + 1, (row + 1) * (width + 1)), row * width);
    }
    return { index, width, height };
  }

  const rgb = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));

  function rampColor(share) {
    const at = Math.min(share, 0.9999) * (data.ramp.length - 1), low = rgb(data.ramp[Math.floor(at)]), top = rgb(data.ramp[Math.floor(at) + 1]);
    return low.map((part, i) => Math.round(part + (at % 1) * (top[i] - part)));
  }

  function paint() {
    const layer = document.querySelector("input[name=layer]:checked");
    const byConfidence = layer !== null && layer.value === "confidence";
    const threshold = confidence ? Number(find("threshold").value) : 0;
    const table = new Uint32Array(256), numbers = byConfidence ? confidence.index : classes.index;
    for (let i = 0; i < 255; i++) {
      const color = byConfidence ? (i <= 100 ? rampColor(i / 100) : null) : i < data.classes.length ? rgb(data.classes[i].color) : null;
      table[i] = color ? ((255 << 24) | (color[2] << 16) | (color[1] << 8) | color[0]) >>> 0 : 0;
    }
    const pixels = new ImageData(classes.width, classes.height), target = new Uint32Array(pixels.data.buffer);
    const seen = new Uint8Array(256).fill(1);
    hidden.forEach((number) => (seen[number] = 0));
    for (let i = 0; i < target.length; i++) {
      const unsure = threshold > 0 && (confidence.index[i] === NONE || confidence.index[i] < threshold);
      target[i] = seen[classes.index[i]] && classes.index[i] !== NONE && !unsure ? table[numbers[i]] : 0;
    }
    painted = painted || Object.assign(document.createElement("canvas"), { width: classes.width, height: classes.height });
    painted.getContext("2d").putImageData(pixels, 0, 0);
    const ramp = find("ramp");
    if (ramp) ramp.hidden = !byConfidence;
    draw();
  }

  // ---- drawing

  let asked = false;
  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; drawNow(); });
  }

  function drawNow() {
    const box = viewer.getBoundingClientRect(), density = window.devicePixelRatio || 1;
    const [columns, rows] = [Math.round(box.width * density), Math.round(box.height * density)];
    if (canvas.width !== columns || canvas.height !== rows) [canvas.width, canvas.height] = [columns, rows];
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, box.width, box.height);
    const left = box.width / 2 - view.x * view.scale, top = box.height / 2 - view.y * view.scale;
    const frame = [left, top, wide * view.scale, high * view.scale];
    const picture = pictures[find("picture") ? Number(find("picture").value) : 0];
    if (picture && picture.complete) {
      context.imageSmoothingEnabled = frame[2] * density < 3 * picture.naturalWidth;
      context.imageSmoothingQuality = "high";
      context.drawImage(picture, ...frame);
    }
    if (painted && !view.peek) {
      context.save();
      context.beginPath();
      context.rect(view.swipe * box.width, 0, box.width, box.height);
      context.clip();
      context.beginPath();
      context.rect(...frame);
      context.clip(); // the last block may reach over the map's edge
      context.globalAlpha = Number(find("opacity").value) / 100;
      const pixel = [data.factor * data.metres[0] * view.scale, data.factor * data.metres[1] * view.scale];
      context.imageSmoothingEnabled = pixel[0] * density < 1; // classes are not blended while a pixel can be seen
      context.drawImage(painted, left, top, classes.width * pixel[0], classes.height * pixel[1]);
      context.restore();
    }
    if (marker) drawMarker(left + marker[0] * view.scale, top + marker[1] * view.scale);
    divider.style.left = `${100 * view.swipe}%`;
    find("left-side").style.opacity = view.swipe * box.width > 90 ? 1 : 0;
    find("right-side").style.opacity = (1 - view.swipe) * box.width > 120 && !view.peek ? 1 : 0;
    drawScale(box.width);
  }

  function drawMarker(x, y) {
    for (const [width, color] of [[5, "rgba(0,0,0,.75)"], [2.5, "#fff"]]) {
      context.lineWidth = width;
      context.strokeStyle = color;
      context.beginPath();
      context.arc(x, y, 8, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  function drawScale(across) {
    const most = Math.min(160, across / 3) / view.scale, power = 10 ** Math.floor(Math.log10(most));
    const metres = [5, 2, 1].find((part) => part * power <= most) * power;
    const text = metres >= 1000 ? `${metres / 1000} km` : metres >= 1 ? `${metres} m` : `${Math.round(metres * 100)} cm`;
    const bar = find("scale").firstElementChild;
    bar.style.width = `${metres * view.scale}px`;
    bar.textContent = text;
    find("scale").setAttribute("aria-label", `Scale bar: ${text} are ${Math.round(metres * view.scale)} pixels of the screen`);
  }

  // ---- moving about

  const fittingScale = () => {
    const box = viewer.getBoundingClientRect();
    return 0.96 * Math.min(box.width / wide, box.height / high);
  };

  function fit() {
    Object.assign(view, { x: wide / 2, y: high / 2, scale: fittingScale(), fitted: true });
    draw();
  }

  function toGround(x, y) {
    const box = viewer.getBoundingClientRect();
    return [view.x + (x - box.left - box.width / 2) / view.scale, view.y + (y - box.top - box.height / 2) / view.scale];
  }

  function zoom(by, x, y) {
    const box = viewer.getBoundingClientRect();
    x = x ?? box.left + box.width / 2;
    y = y ?? box.top + box.height / 2;
    const before = toGround(x, y), nearest = 64 / Math.min(...data.metres);
    view.scale = Math.min(Math.max(view.scale * by, fittingScale() / 2), Math.max(nearest, fittingScale()));
    const after = toGround(x, y);
    pan(before[0] - after[0], before[1] - after[1]);
  }

  function pan(x, y) {
    view.x = Math.min(Math.max(view.x + x, 0), wide);
    view.y = Math.min(Math.max(view.y + y, 0), high);
    view.fitted = false;
    draw();
  }

  function swipe(share) {
    view.swipe = Math.min(Math.max(share, 0), 1);
    const left = Math.round(100 * view.swipe);
    divider.setAttribute("aria-valuenow", left);
    divider.setAttribute("aria-valuetext", `${left} % imagery, ${100 - left} % map`);
    draw();
  }

  // ---- what lies at a point

  function inspect(x, y) {
    const column = Math.floor((x / wide) * data.width), row = Math.floor((y / high) * data.height);
    for (const current of document.querySelectorAll("#legend tr[aria-current]")) current.removeAttribute("aria-current");
    if (column < 0 || row < 0 || column >= data.width || row >= data.height) {
      marker = null;
      readout.replaceChildren(element("p", "Outside of the map.", "hint"));
      draw();
      return;
    }
    marker = [x, y];
    const at = Math.floor(row / data.factor) * classes.width + Math.floor(column / data.factor), number = classes.index[at];
    const name = element("p", "", "class"), swatch = element("i", "", number === NONE ? "none" : "");
    if (number !== NONE) swatch.style.background = data.classes[number].color;
    name.append(swatch, element("span", number === NONE ? "no data" : data.classes[number].name));
    const rows = [];
    if (confidence && !probabilities.length) { // else it is the first of them
      const sure = confidence.index[at];
      rows.push(["Confidence", sure === NONE ? "none" : meter(sure)]);
    }
    const shares = probabilities.map((share, i) => [share.index[at], data.classes[i].name]).filter(([share]) => share !== NONE && share > 0);
    shares.sort((one, other) => other[0] - one[0]);
    for (const [share, title] of shares.slice(0, 4)) rows.push([title, meter(share)]);
    const east = data.left + (x / wide) * data.width * data.pixelWidth, north = data.top - (y / high) * data.height * data.pixelHeight;
    rows.push([data.crs, `${east.toFixed(data.digits)}, ${north.toFixed(data.digits)}`]);
    rows.push(["Lon, lat", degrees(x / wide, y / high)]);
    if (data.factor > 1) rows.push(["Stands for", `${data.factor} × ${data.factor} pixels`]);
    const table = element("table"), body = element("tbody");
    for (const [title, value] of rows) {
      const line = element("tr"), cell = element("td"), head = element("th", title);
      head.scope = "row";
      cell.append(value);
      line.append(head, cell);
      body.append(line);
    }
    table.append(body);
    readout.replaceChildren(name, table);
    readout.dataset.class = number;
    const entry = find(`class-${number}`);
    if (entry) entry.setAttribute("aria-current", "true");
    draw();
  }

  function meter(percent) {
    const whole = element("span"), bar = element("span", "", "meter"), part = element("b");
    part.style.width = `${percent}%`;
    bar.append(part);
    whole.append(bar, `${percent} %`);
    return whole;
  }

  function degrees(across, down) {
    const last = data.longitude.length - 1, u = across * last, v = down * last;
    const i = Math.min(Math.floor(u), last - 1), j = Math.min(Math.floor(v), last - 1);
    const between = (grid) =>
      (grid[j][i] * (i + 1 - u) + grid[j][i + 1] * (u - i)) * (j + 1 - v) + (grid[j + 1][i] * (i + 1 - u) + grid[j + 1][i + 1] * (u - i)) * (v - j);
    const longitude = ((((between(data.longitude) + 180) % 360) + 360) % 360) - 180;
    return `${longitude.toFixed(6)}, ${between(data.latitude).toFixed(6)}`;
  }

  function element(name, text = "", style = "") {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (style) made.className = style;
    return made;
  }

  // ---- mouse and touch

  const fingers = new Map();
  let moved = 0, lastTap = { time: 0, x: 0, y: 0 };
  const middle = () => {
    const all = [...fingers.values()];
    const mean = [0, 1].map((axis) => all.reduce((sum, point) => sum + point[axis], 0) / all.length);
    return { mean, spread: all.length > 1 ? Math.hypot(all[0][0] - all[1][0], all[0][1] - all[1][1]) : 0 };
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    if (!fingers.size) moved = 0;
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const before = middle();
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    const after = middle();
    moved += Math.hypot(after.mean[0] - before.mean[0], after.mean[1] - before.mean[1]) + Math.abs(after.spread - before.spread);
    if (moved < 5) return;
    canvas.classList.add("moving");
    pan((before.mean[0] - after.mean[0]) / view.scale, (before.mean[1] - after.mean[1]) / view.scale);
    if (before.spread && after.spread) zoom(after.spread / before.spread, ...after.mean);
  });
  const lifted = (event) => {
    if (!fingers.delete(event.pointerId)) return;
    if (fingers.size) return;
    canvas.classList.remove("moving");
    if (event.type !== "pointerup" || moved >= 5) return;
    const again = event.timeStamp - lastTap.time < 350 && Math.hypot(event.clientX - lastTap.x, event.clientY - lastTap.y) < 24;
    lastTap = { time: again ? 0 : event.timeStamp, x: event.clientX, y: event.clientY };
    if (again) zoom(2, event.clientX, event.clientY);
    else inspect(...toGround(event.clientX, event.clientY));
  };
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, lifted);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaY * [1, 18, 200][event.deltaMode];
    zoom(Math.exp(-Math.max(-400, Math.min(400, pixels)) / (event.ctrlKey ? 120 : 480)), event.clientX, event.clientY);
  }, { passive: false });
  const slide = (event) => {
    const box = viewer.getBoundingClientRect();
    swipe((event.clientX - box.left) / box.width);
  };
  let grabbed = null;
  divider.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    grabbed = { x: event.clientX, moved: false, line: event.target === divider };
    divider.setPointerCapture(event.pointerId);
    divider.focus({ preventScroll: true });
    event.preventDefault();
  });
  divider.addEventListener("pointermove", (event) => {
    if (!grabbed || !divider.hasPointerCapture(event.pointerId)) return;
    grabbed.moved ||= Math.abs(event.clientX - grabbed.x) >= 3;
    if (grabbed.moved) slide(event);
  });
  divider.addEventListener("pointerup", (event) => { // its line is in nobody's way: a click on it is a click on the map
    if (grabbed && grabbed.line && !grabbed.moved) inspect(...toGround(event.clientX, event.clientY));
    grabbed = null;
  });

  // ---- keys and controls

  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (event.shiftKey ? 240 : 60) / view.scale;
    if (event.key in moves) pan(...moves[event.key].map((part) => part * step));
    else if (event.key === "+" || event.key === "=") zoom(1.5);
    else if (event.key === "-" || event.key === "_") zoom(1 / 1.5);
    else if (event.key === "0") fit();
    else if (event.key === "Enter") inspect(view.x, view.y);
    else if (event.key === " ") { view.peek = true; draw(); }
    else return;
    event.preventDefault();
  });
  const unpeek = () => { if (view.peek) { view.peek = false; draw(); } };
  canvas.addEventListener("keyup", (event) => { if (event.key === " ") unpeek(); });
  canvas.addEventListener("blur", unpeek);
  divider.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.1 : 0.02;
    if (event.key === "ArrowLeft" || event.key === "ArrowDown") swipe(view.swipe - step);
    else if (event.key === "ArrowRight" || event.key === "ArrowUp") swipe(view.swipe + step);
    else if (event.key === "Home") swipe(0);
    else if (event.key === "End") swipe(1);
    else return;
    event.preventDefault();
  });
  find("closer").addEventListener("click", () => zoom(1.5));
  find("farther").addEventListener("click", () => zoom(1 / 1.5));
  find("all").addEventListener("click", fit);
  for (const name of ["opacity", "threshold"]) {
    const slider = find(name);
    if (!slider) continue;
    const told = () => { find(`${name}-value`).textContent = `${slider.value} %`; };
    slider.addEventListener("input", () => { told(); name === "opacity" ? draw() : paint(); });
    told();
  }
  for (const choice of document.querySelectorAll("input[name=layer]")) choice.addEventListener("change", paint);
  const boxes = [...document.querySelectorAll("input[data-class]")], every = find("every");
  const show = () => {
    hidden.clear();
    for (const box of boxes) if (!box.checked) hidden.add(Number(box.dataset.class));
    every.checked = hidden.size === 0;
    every.indeterminate = hidden.size > 0 && hidden.size < boxes.length;
    paint();
  };
  for (const box of boxes) box.addEventListener("change", show);
  every.addEventListener("change", () => { for (const box of boxes) box.checked = every.checked; show(); });
  if (find("picture")) find("picture").addEventListener("change", draw);
  new ResizeObserver(() => (view.fitted ? fit() : draw())).observe(viewer);
  find("north").firstElementChild.style.transform = `rotate(${data.north}deg)`;
  if (!data.pictures.length) swipe(0);

  // ---- start

  async function start() {
    pictures = data.pictures.map((picture) => Object.assign(new Image(), { src: picture.image }));
    const read = [indices(find("plain").src), data.confidence ? indices(data.confidence) : null, ...data.probabilities.map(indices)];
    [classes, confidence, ...probabilities] = await Promise.all(read);
    await Promise.all(pictures.map((picture) => picture.decode()));
    find("plain").hidden = true;
    fit();
    paint();
    document.documentElement.dataset.ready = "true";
  }
  start().catch((error) => {
    find("problem").hidden = false;
    find("problem").textContent = `The map cannot be shown: ${error.message}. Try a browser of 2023 or later.`;
  });
})();
