"use strict";
// The token stands behind the #, which browsers send nowhere.
const token = decodeURIComponent(location.hash.slice(1));
const form = document.querySelector("form");
const status = document.querySelector("[role=status]");
if (!token) status.textContent = "This link is not whole: take all of it.";
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = Object.fromEntries(new FormData(form));
  if (!fields.login) delete fields.login;
  const answer = await fetch("/api/v1/auth/setup", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token, ...fields }),
  });
  const told = await answer.json();
  if (answer.ok) {
    history.replaceState(null, "", location.pathname);
    form.hidden = true;
    document.querySelector("h1").textContent = `${told.account.login} can log in now`;
  } else {
    status.textContent = told.detail;
  }
});
