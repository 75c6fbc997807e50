-- After a journal was filled: every twentieth entry brought 2,000 points, and each of the others took 93 from the
-- oldest.

insert into credit (account_id, entry, amount_nano, remaining_nano, is_bought)
select account_id, number * 20 - 19, 2000000000000,
    greatest(0, least(2000000000000, number * 2000000000000 - (entry_count - (entry_count + 19) / 20) * 93000000000)),
    false
from account, generate_series(1, (entry_count + 19) / 20) as number;

analyze;
