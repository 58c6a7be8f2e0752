"use strict";

const COLOURS = ["#ffb347", "#4fc3f7", "#aed581", "#f48fb1", "#ce93d8", "#fff176", "#80cbc4", "#ff8a65"];
const ALL = "All classes";
const LONGEST_CANVAS = 1200;
const SMALLEST_DRAG = 4;
const byId = (id) => document.getElementById(id);
const view = byId("view");
const pen = view.getContext("2d");

let model = null;
let image = null; // token, rows, columns, spacing, name, picture
let events = []; // what was asked, in order: {kind: "point", x, y, label} or {kind: "box", box}
let masks = []; // what was answered: name, png, sizes, picture
let drag = null;
let tool = "inside";
let lastQuestion = 0;

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The demo no longer answers. Is it still running?");
  }
  const content = await response.json();
  if (!response.ok) throw new Error(content.error);
  return content;
}

function loadPicture(address) {
  return new Promise((resolve, reject) => {
    const picture = new Image();
    picture.onload = () => resolve(picture);
    picture.onerror = () => reject(new Error("The picture could not be shown."));
    picture.src = address;
  });
}

function tell(text, isWrong = false) {
  byId("status").textContent = text;
  byId("status").classList.toggle("wrong", isWrong);
}

function orTell(job) {
  return async (...given) => {
    try {
      await job(...given);
    } catch (error) {
      tell(error.message, true);
    }
  };
}

const takes = (kind) => model.prompt_kinds.includes(kind);

async function start() {
  model = await ask("/model");
  byId("model").textContent = model.name;
  const classes = model.is_automatic ? [ALL, ...model.categories] : ["object", ...model.categories];
  byId("category").replaceChildren(...classes.map((name) => new Option(name, name)));
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("role", "radio");
    button.disabled = !takes(button.dataset.tool === "box" ? "boxes" : "points");
    button.addEventListener("click", () => choose(button.dataset.tool));
  }
  byId("undo").disabled = byId("clear").disabled = model.is_automatic;
  byId("find").disabled = !model.is_automatic;
  byId("hint").textContent = model.is_automatic
    ? "This model takes no clicks: it finds its classes by itself."
    : "Click on the object. Shift or the right button: outside of it. Drag: a box around it. This model cannot find "
      + "objects unasked.";
  choose(takes("points") ? "inside" : "box");
}

function choose(name) {
  const button = document.querySelector(`[data-tool="${name}"]`);
  if (button.disabled) return;
  tool = name;
  for (const one of document.querySelectorAll("[data-tool]")) one.setAttribute("aria-checked", String(one === button));
}

async function openFile(file) {
  await ready; // the page is there before what it asks about the model is answered
  if (!file || !model) return;
  if (file.size > model.max_upload_bytes) {
    throw new Error(`The file is larger than ${model.max_upload_bytes / 2 ** 20} MB.`);
  }
  tell("Reading and encoding the image ...");
  const headers = { "Content-Type": "application/octet-stream" };
  const opened = await ask("/image", { method: "POST", headers, body: file });
  opened.name = file.name.replace(/\.[^.]*$/, "") || "image";
  opened.picture = await loadPicture(`/image/${opened.token}`);
  image = opened;
  lastQuestion++; // answers about the image before are late
  events = [];
  const scale = Math.max(1, Math.floor(LONGEST_CANVAS / Math.max(image.rows, image.columns)));
  view.width = image.columns * scale;
  view.height = image.rows * scale;
  byId("drop").hidden = true;
  view.hidden = false;
  byId("tools").disabled = byId("looks").disabled = false;
  showMasks([]);
  tell(model.is_automatic ? "Press Find everything." : "Click on the object, or drag a box around it.");
}

async function answer() {
  const number = ++lastQuestion;
  const points = events.filter((one) => one.kind === "point");
  const boxes = events.filter((one) => one.kind === "box");
  if (!points.length && !boxes.length && !model.is_automatic) {
    showMasks([]);
    tell("");
    return;
  }
  tell("Segmenting ...");
  draw();
  const question = {
    token: image.token,
    points: points.map((one) => [one.x, one.y]),
    labels: points.map((one) => one.label),
    box: boxes.length ? boxes[boxes.length - 1].box : null,
  };
  const began = performance.now();
  const headers = { "Content-Type": "application/json" };
  const found = (await ask("/answer", { method: "POST", headers, body: JSON.stringify(question) })).masks;
  for (const mask of found) mask.picture = await loadPicture(`data:image/png;base64,${mask.png}`);
  if (number !== lastQuestion) return; // a later question was asked meanwhile
  showMasks(found);
  tell(`Answered in ${Math.round(performance.now() - began)} ms.`);
}

const nameOf = (mask) => (model.is_automatic ? mask.name : byId("category").value);
const colourOf = (mask) => {
  const place = model.categories.indexOf(nameOf(mask));
  return COLOURS[(place + 1) % COLOURS.length];
};
const shown = () => {
  const chosen = byId("category").value;
  return model.is_automatic && chosen !== ALL ? masks.filter((mask) => mask.name === chosen) : masks;
};

function showMasks(found) {
  masks = found;
  showSizes();
  draw();
}

function showSizes() {
  byId("results").hidden = !masks.length;
  const rows = shown().map((mask) => {
    const row = document.createElement("tr");
    const sizes = [mask.area, mask.longest_diameter, mask.shortest_diameter];
    const unit = mask.unit === masks[0].unit ? "" : ` ${mask.unit}`;
    const texts = sizes.map((size) => (mask.num_pixels ? Number(size.toPrecision(4)).toLocaleString("en") + unit : "none"));
    for (const text of [nameOf(mask), ...texts]) row.append(Object.assign(document.createElement("td"), { textContent: text }));
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = colourOf(mask);
    row.firstChild.prepend(swatch);
    return row;
  });
  byId("sizes").replaceChildren(...rows);
  if (!masks.length) return;
  const reason = image.spacing
    ? "a mask reaches out of the ultrasound region, and the file says how large a pixel is in there alone."
    : "the file does not say how large a pixel is.";
  const told = masks[0].unit === "mm"
    ? "Area in mm\u00b2, diameters of the largest piece in mm"
    : "Area and diameters of the largest piece in pixels";
  const inPixels = masks.some((mask) => mask.unit === "px");
  byId("unit").textContent = inPixels ? `${told}: ${reason}` : `${told}.`;
}

function tinted(mask) {
  const layer = new OffscreenCanvas(image.columns, image.rows);
  const brush = layer.getContext("2d");
  brush.drawImage(mask.picture, 0, 0);
  const pixels = brush.getImageData(0, 0, image.columns, image.rows);
  const colour = [1, 3, 5].map((at) => parseInt(colourOf(mask).slice(at, at + 2), 16));
  for (let at = 0; at < pixels.data.length; at += 4) {
    const isInside = pixels.data[at] > 0;
    pixels.data.set([...colour, isInside ? 255 : 0], at);
  }
  brush.putImageData(pixels, 0, 0);
  return layer;
}

function draw() {
  if (!image) return;
  const scale = view.width / image.columns;
  pen.imageSmoothingEnabled = true;
  pen.drawImage(image.picture, 0, 0, view.width, view.height);
  pen.imageSmoothingEnabled = false;
  pen.globalAlpha = byId("opacity").value / 100;
  for (const mask of shown()) {
    mask.layer = mask.layerColour === colourOf(mask) ? mask.layer : tinted(mask);
    mask.layerColour = colourOf(mask);
    pen.drawImage(mask.layer, 0, 0, view.width, view.height);
  }
  pen.globalAlpha = 1;
  const unit = view.width / (view.clientWidth || view.width); // one pixel of the screen
  const box = drag && drag.box ? drag.box : (events.findLast((one) => one.kind === "box") || {}).box;
  if (box) {
    const [x0, y0, x1, y1] = box.map((value) => (value + 0.5) * scale);
    for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width * unit;
      pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
  }
  for (const one of events.filter((event) => event.kind === "point")) drawClick(one, scale, unit);
}

function drawClick(one, scale, unit) {
  const [x, y, reach] = [(one.x + 0.5) * scale, (one.y + 0.5) * scale, 7 * unit];
  for (const [colour, width] of [["#000", 5], [one.label ? "#7dff8a" : "#ff6b6b", 2.5]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = width * unit;
    pen.beginPath();
    pen.moveTo(x - reach, y);
    pen.lineTo(x + reach, y);
    if (one.label) { // a plus inside the object, a minus outside of it
      pen.moveTo(x, y - reach);
      pen.lineTo(x, y + reach);
    }
    pen.stroke();
  }
}

function placeOf(event) {
  const frame = view.getBoundingClientRect();
  const within = (value, length) => Math.min(Math.max(value, 0), length - 1);
  const x = ((event.clientX - frame.left) / frame.width) * image.columns - 0.5;
  const y = ((event.clientY - frame.top) / frame.height) * image.rows - 0.5;
  return [within(x, image.columns), within(y, image.rows)].map((value) => Math.round(value * 10) / 10);
}

view.addEventListener("pointerdown", (event) => {
  if (model.is_automatic) return;
  view.setPointerCapture(event.pointerId);
  drag = { from: placeOf(event), atX: event.clientX, atY: event.clientY, box: null };
});

view.addEventListener("pointermove", (event) => {
  if (!drag || !takes("boxes")) return;
  const isFar = Math.hypot(event.clientX - drag.atX, event.clientY - drag.atY) > SMALLEST_DRAG;
  if (!isFar && !drag.box) return;
  const [[ax, ay], [bx, by]] = [drag.from, placeOf(event)];
  drag.box = [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
  draw();
});

view.addEventListener("pointercancel", () => {
  drag = null;
  draw();
});

view.addEventListener("pointerup", orTell(async (event) => {
  if (!drag) return;
  const { from: [x, y], box } = drag;
  drag = null;
  if (box && box[0] < box[2] && box[1] < box[3]) {
    events.push({ kind: "box", box });
  } else if (tool === "box" || !takes("points")) {
    tell("Drag from one corner of the object to the other.");
    return;
  } else {
    const isOutside = tool === "outside" || event.shiftKey || event.button === 2;
    events.push({ kind: "point", x, y, label: isOutside ? 0 : 1 });
  }
  await answer();
}));

view.addEventListener("contextmenu", (event) => event.preventDefault());

const undo = orTell(async () => {
  events.pop();
  await answer();
});
const clear = orTell(async () => {
  events = [];
  await answer();
});

document.addEventListener("keydown", (event) => {
  if (!image || model.is_automatic) return;
  const isUndo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
  if (isUndo) {
    event.preventDefault();
    undo();
  } else if (event.key === "Escape") {
    clear();
  } else if (["1", "2", "3"].includes(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    choose({ 1: "inside", 2: "outside", 3: "box" }[event.key]);
  }
});

function save(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}

byId("save-mask").addEventListener("click", () => {
  for (const mask of shown()) {
    const name = `${image.name}_${nameOf(mask).replace(/[^a-zA-Z0-9_-]/g, "-")}_mask.png`;
    save(`data:image/png;base64,${mask.png}`, name);
  }
});

byId("save-sizes").addEventListener("click", () => {
  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;
  const head = "file,name,pixels,pieces,area,longest_diameter,shortest_diameter,unit";
  const lines = shown().map((mask) => [
    quoted(image.name), quoted(nameOf(mask)), mask.num_pixels, mask.num_pieces, mask.area, mask.longest_diameter,
    mask.shortest_diameter, mask.unit,
  ].join(","));
  save(`data:text/csv;charset=utf-8,${encodeURIComponent([head, ...lines, ""].join("\n"))}`, `${image.name}_measurements.csv`);
});

byId("file").addEventListener("change", orTell(async (event) => {
  const [file] = event.target.files;
  event.target.value = ""; // the same file can be opened again
  await openFile(file);
}));
byId("undo").addEventListener("click", undo);
byId("clear").addEventListener("click", clear);
byId("find").addEventListener("click", orTell(answer));
byId("opacity").addEventListener("input", draw);
byId("category").addEventListener("change", () => {
  showSizes();
  draw();
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("stage").classList.toggle("over", name === "dragenter" || name === "dragover");
  });
}
document.addEventListener("drop", orTell((event) => openFile(event.dataTransfer.files[0])));
window.addEventListener("resize", draw);
const ready = orTell(start)();
