"use strict";
// Everything a server wrote comes from the data and goes into text nodes: nothing of it is ever taken for markup.
const data = JSON.parse(document.getElementById("data").textContent);
const folders = data.folders;
const make = (tag, kind, ...inside) => {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...inside);
  return made;
};
// Characters that cannot be seen, or turn text around, are shown by their numbers.
const ODD = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/u;
function shown(text) {
  const span = make("bdi");
  let plain = "";
  for (const character of text) {
    if (!ODD.test(character)) { plain += character; continue; }
    span.append(plain);
    plain = "";
    const number = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    span.append(make("span", "odd", "U+" + number));
  }
  span.append(plain);
  return span;
}
const plural = (number, what) => number.toLocaleString("en") + " " + what + (number === 1 ? "" : "s");
function size(bytes) {
  if (bytes === undefined) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (bytes >= 1000 && at < units.length - 1) { bytes /= 1000; at += 1; }
  return (at ? bytes.toFixed(1) : bytes) + " " + units[at];
}
const moment = (text) => (text ? text.slice(0, 16).replace("T", " ") + " UTC" : "");

// What is in each folder, and how much is below it. A folder stands behind the one it is in.
for (const folder of folders) { folder.inside = []; folder.below = folder.docs.length; folder.known = 0; }
const tops = [];
folders.forEach((folder, at) => {
  folder.at = at;
  if (folder.in === undefined) tops.push(folder); else folders[folder.in].inside.push(folder);
});
for (let at = folders.length - 1; at >= 0; at -= 1) {
  const folder = folders[at];
  if (folder.in === undefined) continue;
  folders[folder.in].below += folder.below;
  folders[folder.in].known += folder.known + 1;
}

// So many rows are shown at a time: a browser is slow with more.
const ROWS = 500;
function fill(place, makers) {
  const next = (from) => {
    for (const maker of makers.slice(from, from + ROWS)) place.append(maker());
    const left = makers.length - from - ROWS;
    if (left <= 0) return;
    const more = make("button", "", "Show " + Math.min(left, ROWS) + " more of " + left);
    more.onclick = () => { more.remove(); next(from + ROWS); };
    place.append(more);
  };
  next(0);
}
function raw(entry) {
  return entry.raw === undefined ? "" : make("span", "raw", " in ProjectWise: ", shown(entry.raw));
}
function documentRow(doc) {
  const facts = [doc.v && "version " + doc.v, doc.state, doc.kind, size(doc.size), moment(doc.time)];
  const row = make("div", "document", shown(doc.n), raw(doc));
  for (const fact of facts.filter(Boolean)) row.append(" ", make("span", "faint", shown(fact)));
  if (doc.denied) row.append(" ", make("span", "bad", "not readable: ", shown(doc.denied)));
  doc.row = row;
  return row;
}
function folderRow(folder) {
  const row = make("details");
  const title = make("summary", "", make("span", "folder", shown(folder.n)), raw(folder));
  if (folder.area) title.append(" ", make("span", "tag", "work area"));
  const failure = folder.denied ?? folder.lack;
  if (failure) title.append(" ", make("span", "bad", folder.denied ? "not allowed: " : "not listed: ", shown(failure)));
  const counts = [];
  if (folder.known) counts.push(plural(folder.known, "folder"));
  if (folder.below) counts.push(plural(folder.below, "document"));
  if (!counts.length && !failure) counts.push("empty");
  const age = folder.asked ? "as of " + moment(folder.asked) : "";
  title.append(" ", make("span", "faint", [counts.join(", "), age].filter(Boolean).join("; ")));
  row.append(title);
  folder.row = row;
  folder.open = () => {
    if (folder.filled) return;
    folder.filled = true;
    const place = make("div");
    const makers = folder.docs.map((doc) => () => documentRow(doc));
    fill(place, makers.concat(folder.inside.map((inner) => () => folderRow(inner))));
    row.append(place);
  };
  row.addEventListener("toggle", () => { if (row.open) folder.open(); });
  return row;
}

const tree = document.getElementById("tree");
function showTree() {
  tree.replaceChildren();
  for (const folder of folders) { folder.filled = false; folder.row = undefined; for (const doc of folder.docs) doc.row = undefined; }
  fill(tree, tops.map((top) => () => folderRow(top)));
  for (const top of tops.length === 1 ? tops : []) top.row.open = true;
}

// What is searched: every name, as shown and as it is, and GUIDs.
const all = [];
for (const folder of folders) {
  all.push({ entry: folder, folder: folder.in === undefined ? undefined : folders[folder.in], is: "folder" });
  for (const doc of folder.docs) all.push({ entry: doc, folder, is: "document" });
}
for (const one of all) {
  const entry = one.entry;
  one.text = [entry.n, entry.raw, entry.g, entry.denied && "denied"].filter(Boolean).join("\n").toLowerCase();
}
function path(folder) {
  const names = [];
  for (let here = folder; here; here = here.in === undefined ? undefined : folders[here.in]) names.unshift(here.n);
  return names.join(" / ");
}
const FOUND = 300;
const count = document.getElementById("count");
function search(text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) { count.textContent = ""; showTree(); return; }
  const found = all.filter((one) => one.text.includes(wanted));
  count.textContent = plural(found.length, "entry").replace("entrys", "entries") +
    (found.length > FOUND ? ", the first " + FOUND + " are shown" : "");
  tree.replaceChildren();
  for (const one of found.slice(0, FOUND)) {
    const row = one.is === "folder" ? folderRow(one.entry) : documentRow(one.entry);
    const place = make("div", "document", make("span", "faint", shown(path(one.folder) || "at the top")));
    tree.append(place, row);
  }
}
let pause;
document.getElementById("search").addEventListener("input", (event) => {
  clearTimeout(pause);
  pause = setTimeout(() => search(event.target.value), 150);
});
document.getElementById("fold").onclick = () => { document.getElementById("search").value = ""; search(""); };
document.getElementById("troubles").onclick = () => {
  const bad = all.filter((one) => one.entry.denied || one.entry.lack);
  count.textContent = bad.length ? plural(bad.length, "entry").replace("entrys", "entries") : "everything was listed";
  tree.replaceChildren();
  fill(tree, bad.map((one) => () => {
    const row = one.is === "folder" ? folderRow(one.entry) : documentRow(one.entry);
    return make("div", "", make("div", "document", make("span", "faint", shown(path(one.folder) || "at the top"))), row);
  }));
};
showTree();
