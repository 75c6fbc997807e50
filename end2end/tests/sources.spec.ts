import { expect, open, test, unique } from "./fixtures";
import { MODEL, sampleEvent } from "./tollgate";

test("a source shows what it delivered last, and where it differs from what was charged", async ({
  adminPage: page,
  tollgate,
}) => {
  const [name, user, id] = [unique("traces"), unique("user"), unique("msg")];
  const { key, enter } = await tollgate.createSource("--name", name, "--entrance", "langfuse");
  await open(page, "/admin/sources");
  const source = page.getByRole("row").filter({ has: page.getByRole("rowheader", { name }) });
  await expect(source).toContainText("Traces (Langfuse)");
  await expect(source).toContainText("Nothing yet");
  await expect(source).toContainText(key.slice(0, 12));
  await expect(page.locator("main")).not.toContainText(key);

  await tollgate.deliver(sampleEvent({ message_id: id, user_id: user }));
  await tollgate.trace(enter, { id, user, model: MODEL, input: 1500, output: 801 });
  const difference = page.getByRole("row").filter({ hasText: id });
  await expect(async () => {
    await page.reload();
    await expect(source).toContainText("Duplicate", { timeout: 500 });
  }).toPass();
  await expect(difference).toContainText("Other token counts");
  await expect(difference).toContainText("1,500 + 801");
  expect(await tollgate.balance(user)).toBe(-93);

  await difference.getByRole("link", { name: id }).click();
  const reports = page.getByRole("table", { name: "Who reported a message" }).getByRole("row");
  await expect(reports).toHaveText([/Message/, /Charged1,500 \+ 800$/, /Other token counts1,500 \+ 801$/]);
  await expect(page.getByLabel("Message", { exact: true })).toHaveValue(id);
  await page.getByLabel("Message", { exact: true }).fill("nobody");
  await page.getByRole("button", { name: "Search" }).click();
  await expect(page.getByText("No message with this id was charged.")).toBeVisible();

  await tollgate.command(["source", "revoke", name]);
  await page.reload();
  await expect(source).toContainText("Revoked");
});
