import { expect, open, test, unique } from "./fixtures";
import { MODEL } from "./tollgate";
import type { Page } from "@playwright/test";

async function ask(page: Page, input: string, output: string) {
  await page.getByLabel("Model", { exact: true }).selectOption(MODEL);
  await page.getByLabel("Input tokens").fill(input);
  await page.getByLabel("Output tokens").fill(output);
  await page.getByRole("button", { name: "Check the balance" }).click();
  return page.getByRole("region", { name: "Before this call" });
}

test("an affordable call proceeds", async ({ page, tollgate }) => {
  const user = unique("user");
  await tollgate.addPoints(user, "100");
  await open(page, await tollgate.signInLink(user));
  const gate = await ask(page, "1000", "500");
  await expect(gate).toContainText("Your points are enough for this call.");
  await expect(gate.getByRole("definition")).toHaveText(["100", "60", "40"]);
  await gate.getByRole("button", { name: "Proceed" }).click();
  await expect(page.getByText(`The call to ${MODEL} was let through.`)).toBeVisible();
  await expect(gate).toHaveCount(0);
});

test("tokens may be grouped by thousands, but are not guessed", async ({ page, tollgate }) => {
  const user = unique("user");
  await tollgate.addPoints(user, "100");
  await open(page, await tollgate.signInLink(user));
  const gate = await ask(page, "1,000", "500");
  await expect(gate.getByRole("definition")).toHaveText(["100", "60", "40"]);
  await gate.getByRole("button", { name: "Cancel" }).click();
  await ask(page, "1,0", "500");
  await expect(page.getByLabel("Input tokens")).toHaveAttribute("aria-invalid", "true");
  await expect(gate).toHaveCount(0);
});

test("an unaffordable call is stopped, and says what would be affordable", async ({
  page,
  tollgate,
}) => {
  const user = unique("user");
  await tollgate.addPoints(user, "100");
  await open(page, await tollgate.signInLink(user));
  const gate = await ask(page, "1000", "5000");
  await expect(gate.getByRole("alert")).toContainText("230 points are missing.");
  await expect(gate.getByRole("alert")).toContainText(
    "Your points would pay for 1,166 output tokens with 1,000 input tokens.",
  );
  await expect(gate.getByRole("button", { name: "Proceed" })).toBeDisabled();
  await gate.getByRole("button", { name: "Cancel" }).click();
  await expect(gate).toHaveCount(0);
});

test("points that go meanwhile stop a call that looked affordable", async ({ page, tollgate }) => {
  const user = unique("user");
  await tollgate.addPoints(user, "100");
  await open(page, await tollgate.signInLink(user));
  const gate = await ask(page, "1000", "500");
  await expect(gate).toContainText("Your points are enough for this call.");
  await tollgate.addPoints(user, "-50");
  await gate.getByRole("button", { name: "Proceed" }).click();
  await expect(gate.getByRole("alert")).toContainText("10 points are missing.");
  await expect(gate.getByRole("alert")).toContainText("The balance was checked again just now");
  await expect(page.getByText("was let through")).toHaveCount(0);
});

test.describe("when the server cannot be reached", () => {
  test.use({ expectedComplaints: [/net::ERR_/] });

  test("nothing is let through", async ({ page, tollgate }) => {
    const user = unique("user");
    await tollgate.addPoints(user, "100");
    await open(page, await tollgate.signInLink(user));
    await page.context().setOffline(true);
    const gate = await ask(page, "1000", "500");
    await expect(gate.getByRole("alert")).toContainText("so the call is not let through");
    await expect(gate.getByRole("button", { name: "Proceed" })).toBeDisabled();
  });
});
