-- After a journal was filled. Of the rollups only the reader's: those of the others, one for almost
-- every entry, would take as long as the journal, and are read one account at a time.
insert into rollup (account_id, hour, kind, model_key, api_key_id, entries, input_tokens, output_tokens,
    amount_nano)
select j.account_id, date_trunc('hour', j.recorded_at, 'utc'), j.kind, coalesce(c.lines #>> '{0,modelKey}', ''),
    coalesce(c.api_key_id, '00000000-0000-0000-0000-000000000000'), count(*),
    count(c.entry) * 1500, count(c.entry) * 800, sum(j.amount_nano)
from filling_account f
join journal_entry j using (account_id)
left join consumption c on c.account_id = j.account_id and c.entry = j.entry and c.recorded_at = j.recorded_at
where f.number = 0
group by 1, 2, 3, 4, 5;

analyze;
