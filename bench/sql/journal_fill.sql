-- Rows as the ledger writes them, over a year, in the order of time; the hashes are made up, and the
-- log of deliveries, which neither pages nor verification read, is left out.

insert into journal_entry (account_id, entry, recorded_at, occurred_at, kind, amount_nano,
    counter_account, balance_after_nano, consumption_id, reason, actor, previous_hash, hash)
select account_id, entry, recorded_at, recorded_at, case when is_grant then 'grant' else 'charge' end,
    case when is_grant then 2000000000000 else -93000000000 end,
    case when is_grant then 'issuance' else 'revenue' end,
    (entry + 19) / 20 * 2000000000000 - (entry - (entry + 19) / 20) * 93000000000,
    case when not is_grant then md5(n::text)::uuid end,
    case when is_grant then 'Allowance' end, case when is_grant then 'bench' end,
    '\x000000000000000000000000000000000000000000000001'::bytea || int8send(n - 1),
    '\x000000000000000000000000000000000000000000000001'::bytea || int8send(n)
from filling(:first, :last, :total, :seconds_each, :ends_at);

insert into consumption (account_id, entry, recorded_at, consumption_id, namespace_id, message_id,
    conversation_id, request_id, api_key_id, entrance, occurred_at, total_tokens, charge_nano, lines)
select f.account_id, f.entry, f.recorded_at, md5(f.n::text)::uuid, 1, 'message-' || f.n,
    'conversation-' || f.n / 10, 'request-' || f.n, l.api_key_id, 'webhook', f.recorded_at, 2300,
    93000000000, l.lines
from filling(:first, :last, :total, :seconds_each, :ends_at) f
join (
    select price_version_id as model, k.api_key_id, jsonb_build_array(jsonb_build_object(
        'modelName', model_name, 'modelKey', model_key,
        'tokens', jsonb_build_object('input', 1500, 'output', 800),
        'priceVersionId', price_version_id, 'chargeNano', 93000000000)) as lines
    from price_version cross join (select api_key_id from api_key limit 1) k
) l using (model)
where not f.is_grant;

insert into message (namespace_id, message_id, fingerprint, consumption_id, total_tokens, charge_nano,
    balance_after_nano, recorded_at)
select 1, 'message-' || n, sha256(int8send(n)), md5(n::text)::uuid, 2300, 93000000000, 0, recorded_at
from filling(:first, :last, :total, :seconds_each, :ends_at)
where not is_grant;
