"use strict";

const $ = (id) => document.getElementById(id);
const money = (cents) => new Intl.NumberFormat("en", { style: "currency", currency: "EUR" }).format(cents / 100);
const pause = (ms) => new Promise((resume) => setTimeout(resume, ms));

// Ask until there is an answer. The key makes that safe: however often the request arrives, it takes effect once.
async function ask(method, path, key = "") {
  for (;;) {
    try {
      const reply = await fetch(path, { method, headers: { "dbos-idempotency-key": key } });
      $("closed").hidden = true;
      if (!reply.ok) throw new Error(`${path} answered ${reply.status}`);
      return await reply.json();
    } catch (failure) {
      if (!(failure instanceof TypeError)) throw failure; // a TypeError: nobody answered
      $("closed").hidden = false;
      await pause(300);
    }
  }
}

let shop = { products: [], orders: [], stages: 1 };

async function refresh() {
  shop = await ask("GET", "state");
  draw($("products"), $("product"), shop.products, drawProduct);
  draw($("orders"), $("order"), shop.orders, drawOrder);
  $("none").hidden = shop.orders.length > 0;
}

// One element for each thing, made from the template when it appears for the first time.
function draw(list, template, things, fill) {
  things.forEach((thing, place) => {
    const id = `${template.id}-${thing.id}`;
    const element = $(id) ?? template.content.firstElementChild.cloneNode(true);
    if (!element.id) {
      element.id = id;
      list.insertBefore(element, list.children[place] ?? null);
    }
    fill((selector) => element.querySelector(selector), thing, element);
  });
}

function drawProduct(part, product) {
  part("use").setAttribute("href", `#${product.id}`);
  part("h2").textContent = product.name;
  part(".price").textContent = money(product.cents);
  part(".stock").textContent = product.stock ? `${product.stock} in stock` : "sold out";
  part("button").disabled = product.stock === 0;
  part("button").onclick = () => buy(product);
}

function drawOrder(part, order, element) {
  element.dataset.status = order.status;
  part(".name").textContent = `№ ${order.number} · ${order.product}`;
  part(".status").textContent = order.status;
  part("progress").max = shop.stages;
  part("progress").value = order.stage;
  part("button").onclick = () => showBank(order.id);
}

async function buy(product) {
  const id = crypto.randomUUID(); // made once per click: whatever happens, this click is this order
  const { answer } = await ask("POST", `orders/${product.id}`, id);
  await refresh();
  if (answer === "please pay" && !$("bank").open) showBank(id);
}

function showBank(id) {
  const order = shop.orders.find((each) => each.id === id);
  const product = shop.products.find((each) => each.name === order.product);
  $("amount").textContent = money(product.cents);
  $("purpose").textContent = `for order № ${order.number}, ${order.product}`;
  $("accept").onclick = () => pay(id, "accepted");
  $("decline").onclick = () => pay(id, "declined");
  $("bank").showModal();
}

async function pay(id, answer) {
  $("bank").close();
  await ask("POST", `payments/${id}/${answer}`);
  await refresh();
}

$("restock").onclick = () => ask("POST", "restock", crypto.randomUUID()).then(refresh);
$("kill").onclick = () => fetch("kill", { method: "POST" }).catch(() => {}); // no answer is to be expected

(async () => {
  for (;;) {
    await refresh();
    await pause(500);
  }
})();
