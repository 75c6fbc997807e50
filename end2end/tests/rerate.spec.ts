import { expect, open, test, unique } from "./fixtures";
import { sampleEvent } from "./tollgate";

test("past messages are re-rated, first as a preview, then as a job", async ({
  adminPage: page,
  tollgate,
}) => {
  const [model, user] = [unique("wrong-price"), unique("user")];
  const reason = unique("The price list was wrong");
  await tollgate.setPrice(model, "30", "60");
  await tollgate.addPoints(user, "100");
  await tollgate.deliver(
    sampleEvent({ message_id: unique("msg"), user_id: user, model_name: model }),
  );
  await tollgate.setPrice(model, "15", "30");

  await open(page, `/admin/prices?model=${model}`);
  await page.getByRole("link", { name: "Re-rate past messages" }).click();
  await expect(page.getByLabel("Model", { exact: true }).locator("option:checked")).toHaveText(model);
  const version = page.getByLabel("Price version");
  await expect(version.locator("option")).toHaveText(["2: 15 in, 30 out", "1: 30 in, 60 out"]);
  const [from, to] = [page.getByLabel("Messages from"), page.getByLabel("Until before")];
  const preview = async (start: string, end: string) => {
    await from.fill(start);
    await to.fill(end);
    await page.getByRole("button", { name: "Preview" }).click();
  };
  await preview("2024-01-16T00:00", "2024-01-15T00:00");
  await expect(to).toHaveAttribute("aria-invalid", "true");

  // The message happened at 10:30 UTC, which is 18:30 here.
  await preview("2024-01-15T00:00", "2024-01-15T18:30");
  await expect(page.getByText("Nothing would change")).toBeVisible();
  await preview("2024-01-15T18:30", "2024-01-15T18:31");
  const difference = page.getByRole("table", { name: "What would change" });
  await expect(difference.getByRole("row")).toHaveText([/User/, `${user}1+46.5`, "Total1+46.5"]);
  expect(await tollgate.balance(user)).toBe(7);

  await page.getByLabel("Reason", { exact: true }).fill(reason);
  await page.getByRole("button", { name: "Apply" }).click();
  await expect(page.getByText("Every difference becomes an entry that the user sees.")).toBeVisible();
  await page.getByRole("button", { name: "Yes, apply" }).click();
  const job = page
    .getByRole("table", { name: "Recent jobs" })
    .getByRole("row")
    .filter({ hasText: `Re-rate: ${reason}` });
  await expect(job).toContainText("Done");
  await expect(job).toContainText("1 of 1 messages");
  expect(await tollgate.balance(user)).toBe(53.5);

  // Again, it finds nothing to do.
  await page.getByRole("button", { name: "Preview" }).click();
  await expect(page.getByText("Nothing would change")).toBeVisible();

  await open(page, `/admin/users?user=${user}`);
  const correction = page.locator("li.entry").filter({ hasText: "Re-rated" });
  await expect(correction).toContainText(reason);
  await expect(correction).toContainText("+46.5");
  await expect(correction).toContainText(`of entry 2, ${model}: −93 points`);
});
