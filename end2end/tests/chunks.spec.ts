import { expect, open, test } from "./fixtures";

test("a page loads its own code, and no other page's", async ({ adminPage: page }) => {
  const loaded: string[] = [];
  page.on("request", (request) => {
    const name = request.url().match(/\/pkg\/split_(\w+)\.wasm$/)?.[1];
    if (name && !loaded.includes(name)) loaded.push(name);
  });
  await open(page, "/admin");
  expect(loaded).toEqual(["monitor"]);
  const nav = page.getByRole("navigation", { name: "Main" });
  await nav.getByRole("link", { name: "Users" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Users");
  await nav.getByRole("link", { name: "Calculator" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Points calculator");
  expect(loaded).toEqual(["monitor", "desk"]);
});

test.describe("when a page's code cannot be loaded", () => {
  test.use({ expectedComplaints: [/net::ERR_|Failed to fetch/] });

  test("the page says so, and another try works", async ({ adminPage: page }) => {
    await open(page, "/admin");
    await page.route("**/pkg/split_desk.wasm", (route) => route.abort());
    await page.getByRole("link", { name: "Users" }).click();
    await expect(page.getByRole("alert")).toContainText("Tollgate could not be reached");
    await page.unroute("**/pkg/split_desk.wasm");
    await page.getByRole("link", { name: "Try again" }).click();
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Users");
  });
});
