"use strict";
// Everything shown is set as text, never as HTML: names and reasons come from objects that anybody may have written.

const filter = document.getElementById("filter");
let known = { routes: [], certificates: [] };

function cell(row, text, kind = "") {
  const made = row.insertCell();
  for (const line of [].concat(text)) {
    const part = document.createElement("div");
    part.textContent = line;
    if (kind) part.className = kind;
    made.append(part);
  }
  return made;
}

function routeRow(row, route) {
  cell(row, route.host || "every host");
  cell(row, route.path ? `${route.path} (${route.pathType})` : "whatever matches nothing else");
  const goes = cell(row, [route.backend, ...route.canaries.map((name) => `canary ${name}`)]);
  for (const [name, value] of Object.entries(route.asks)) {
    const asked = document.createElement("div");
    asked.className = "quiet";
    asked.textContent = `${name}: ${value}`;
    goes.append(asked);
  }
  cell(row, route.missing || route.endpoints, route.missing ? "wrong" : "");
  cell(row, [route.ingress, route.rule], "quiet");
}

function certificateRow(row, certificate) {
  cell(row, certificate.host);
  cell(row, certificate.secret);
  cell(row, certificate.names);
  const until = certificate.expires ? new Date(certificate.expires * 1000) : null;
  const late = until && until < Date.now();
  cell(row, certificate.wrong || (until ? until.toISOString().slice(0, 10) : "not known"),
    certificate.wrong || late ? "wrong" : "");
}

function show(name, fill) {
  const wanted = filter.value.trim().toLowerCase();
  const found = known[name].filter((each) => JSON.stringify(each).toLowerCase().includes(wanted));
  const body = document.createElement("tbody");
  body.id = name;
  for (const each of found) fill(body.insertRow(), each);
  document.getElementById(name).replaceWith(body);
  document.getElementById(`${name}-count`).textContent =
    wanted ? `${found.length} of ${known[name].length}` : `${found.length}`;
}

function showAll() {
  show("routes", routeRow);
  show("certificates", certificateRow);
}

async function read() {
  const state = document.getElementById("state");
  try {
    const [routes, certificates, ready] = await Promise.all([
      fetch("/routes").then((answer) => answer.json()),
      fetch("/certificates").then((answer) => answer.json()),
      fetch("/readyz"),
    ]);
    if (JSON.stringify(known) !== JSON.stringify({ routes, certificates })) {
      known = { routes, certificates };
      showAll();
    }
    state.textContent = ready.ok ? "ready" : (await ready.text()).trim();
    state.className = ready.ok ? "" : "wrong";
  } catch {
    state.textContent = "no answer";
    state.className = "wrong";
  }
  setTimeout(read, 2000);
}

filter.addEventListener("input", showAll);
read();
