-- Rows as the ledger writes them, over a year, in the order of time; the hashes are made up. Claims are left out:
-- pages do not read them, and verification, which counts no charge behind a broken hash, would look each one up.

insert into journal_entry (account_id, entry, recorded_at, occurred_at, amount_nano, balance_after_nano, kind,
    message, api_key_id, namespace_id, entrance, message_id, conversation_id, request_id, lines, reason, actor, hash)
select f.account_id, f.entry, f.recorded_at, f.recorded_at,
    case when is_grant then 2000000000000 else -93000000000 end,
    (f.entry + 19) / 20 * 2000000000000 - (f.entry - (f.entry + 19) / 20) * 93000000000,
    case when is_grant then 'grant' else 'charge' end,
    f.message, l.api_key_id,
    case when not is_grant then 1 end,
    case when not is_grant then 'webhook' end,
    case when not is_grant then 'message-' || f.n end,
    case when not is_grant then 'conversation-' || f.n / 10 end,
    case when not is_grant then 'request-' || f.n end,
    l.lines,
    case when is_grant then 'Allowance' end,
    case when is_grant then 'bench' end,
    '\x000000000000000000000000000000000000000000000001'::bytea || int8send(f.n)
from filling(:first, :last, :total, :seconds_each, :ends_at) f
left join (
    select price_version_id as model, k.api_key_id, jsonb_build_array(jsonb_build_object('model', model_name,
        'in', 1500, 'out', 800, 'version', price_version_id, 'cost', 93000000000)) as lines
    from price_version cross join (select api_key_id from api_key limit 1) k
) l on l.model = f.model and not f.is_grant;
