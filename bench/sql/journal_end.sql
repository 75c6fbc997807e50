-- After a journal was filled. Its sums are left out, which neither pages nor verification of a broken journal
-- read: they count as kept up to here, so that the server does not begin to add up millions of entries.
update sum_mark set tx = pg_current_xact_id();

analyze;
