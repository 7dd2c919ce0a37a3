"use strict";
// Filters of tables: an input names the table whose rows it hides; each row has its text in data-text.
for (const input of document.querySelectorAll("input[data-filters]")) {
  const rows = document.querySelectorAll(`#${input.dataset.filters} tbody tr`);
  const status = document.getElementById(`${input.dataset.filters}-shown`);
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.dataset.text.includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    status.textContent = wanted ? `${shown} of ${rows.length}` : "";
  });
}
// The contact sheet: by split and class.
const split = document.getElementById("sheet-split");
const label = document.getElementById("sheet-label");
const pictures = document.querySelectorAll("#sheet li");
function showPictures() {
  let shown = 0;
  for (const picture of pictures) {
    picture.hidden = (split.value && picture.dataset.split !== split.value)
      || (label.value && picture.dataset.label !== label.value);
    shown += picture.hidden ? 0 : 1;
  }
  document.getElementById("sheet-shown").textContent = `${shown} of ${pictures.length} pictures`;
}
split.addEventListener("change", showPictures);
label.addEventListener("change", showPictures);
showPictures();
// A picture enlarged; Escape and the button close it, and the focus goes back to where it was.
const zoom = document.getElementById("zoom");
document.getElementById("sheet").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  document.getElementById("zoom-title").textContent = button.dataset.title;
  document.getElementById("zoom-detail").textContent = button.dataset.detail;
  const picture = document.getElementById("zoom-picture");
  picture.src = button.querySelector("img").src;
  picture.alt = button.querySelector("img").alt;
  zoom.showModal();
});
