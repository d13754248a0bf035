// Filters the images of all sections by words of their names, captions and labels; starts the embedding map.
"use strict";
(() => {
  const form = document.getElementById("filter-form");
  const input = document.getElementById("filter");
  const count = document.getElementById("filter-count");
  const cards = [...document.querySelectorAll("[data-words]")];
  const others = [...document.querySelectorAll("[data-of]")];

  function apply() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = new Set();
    for (const card of cards) {
      if (words.every((word) => card.dataset.words.includes(word))) kept.add(card.dataset.of);
    }
    for (const one of others) one.classList.toggle("out", !kept.has(one.dataset.of));
    count.textContent = words.length ? `${kept.size} of ${cards.length} images` : "";
  }

  async function unpacked(element) {
    const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  // The library of the map is large: it is unpacked once the map is about to be seen.
  async function startMap(element) {
    const state = document.getElementById("map-state");
    try {
      const library = document.createElement("script");
      library.textContent = await unpacked(document.getElementById("map-library"));
      document.head.append(library);
      const payload = JSON.parse(document.getElementById("map-data").textContent);
      payload.thumbnails = cards.map((card) => card.querySelector("img").src);
      element.handle = scatter.mount(element, payload, { svg: true });
      state.hidden = true;
    } catch (error) {
      state.textContent = `The interactive map cannot be shown in this browser (${error.message}).`;
    }
  }

  const plot = document.getElementById("map-plot");
  if (plot) {
    document.getElementById("map-state").textContent = "The interactive map is loading.";
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      startMap(plot);
    }, { rootMargin: "400px" });
    observer.observe(plot);
  }

  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  input.addEventListener("input", apply);
  apply();
})();
