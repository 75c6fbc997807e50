//! Accounts and their credits.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Result;
use crate::records::account::Amounts;
use crate::records::hash::Hash;

/// An account with one of its credits that has something left; without, if it has none.
#[derive(sqlx::FromRow)]
pub(crate) struct AccountRow {
    pub now: OffsetDateTime,
    pub account_id: Uuid,
    pub balance_nano: i64,
    pub held_nano: i64,
    pub debt_limit_nano: i64,
    pub entry_count: i64,
    #[sqlx(try_from = "Vec<u8>")]
    pub last_hash: StoredHash,
    pub entry: Option<i64>,
    pub amount_nano: Option<i64>,
    pub remaining_nano: Option<i64>,
    pub is_bought: Option<bool>,
    pub expires_at: Option<OffsetDateTime>,
}

/// A hash read from the database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredHash(pub Hash);

impl TryFrom<Vec<u8>> for StoredHash {
    type Error = crate::Error;

    fn try_from(bytes: Vec<u8>) -> Result<Self> {
        let hash = bytes.try_into();
        hash.map(Self)
            .map_err(|_| crate::Error::corrupt("a hash that is not 32 bytes long"))
    }
}

/// Opens accounts that are not open yet: id, user, and the hash that its chain begins with.
pub(crate) async fn open(
    connection: &mut PgConnection,
    accounts: &[(Uuid, &str, Hash)],
) -> Result<()> {
    let (mut ids, mut users, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for (id, user, hash) in accounts {
        ids.push(*id);
        users.push(*user);
        hashes.push(hash.as_slice());
    }
    sqlx::query(
        "insert into account (account_id, user_id, last_hash)
         select * from unnest($1::uuid[], $2::text[], $3::bytea[])
         on conflict do nothing",
    )
    .bind(ids)
    .bind(users)
    .bind(hashes)
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks accounts in the order of their ids, in which these are; how many there are.
pub(crate) async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> Result<u64> {
    let locked = sqlx::query!(
        "select from account where account_id = any($1) order by account_id for update",
        ids
    )
    .execute(tx)
    .await?;
    Ok(locked.rows_affected())
}

/// Reads accounts and what is left of their credits.
pub(crate) async fn read(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<AccountRow>> {
    let rows = sqlx::query_as(
        "select clock_timestamp() as now, a.account_id, a.balance_nano, a.held_nano, a.debt_limit_nano,
                a.entry_count, a.last_hash,
                c.entry, c.amount_nano, c.remaining_nano, c.is_bought, c.expires_at
         from account a
         left join credit c on c.account_id = a.account_id and c.remaining_nano > 0
         where a.account_id = any($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// The database's own time.
pub(crate) async fn now(connection: &mut PgConnection) -> Result<OffsetDateTime> {
    Ok(sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(connection)
        .await?)
}

/// An account, or an empty one, and when it was read.
pub(crate) struct AmountsRow {
    pub read_at: OffsetDateTime,
    /// Of the price book at that time.
    pub price_revision: i64,
    balance_nano: i64,
    held_nano: i64,
    debt_limit_nano: i64,
}

impl AmountsRow {
    pub(crate) const fn amounts(&self) -> Amounts {
        Amounts {
            balance_nano: self.balance_nano,
            held_nano: self.held_nano,
            debt_limit_nano: self.debt_limit_nano,
        }
    }
}

/// One row for each id, in their order.
pub(crate) async fn amounts_of(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<Vec<AmountsRow>> {
    Ok(sqlx::query_as!(
        AmountsRow,
        r#"select clock_timestamp() as "read_at!",
                (select coalesce(max(price_version_id), 0) from price_version) as "price_revision!",
                coalesce(a.balance_nano, 0) as "balance_nano!",
                coalesce(a.held_nano, 0) as "held_nano!",
                coalesce(a.debt_limit_nano, 0) as "debt_limit_nano!"
         from unnest($1::uuid[]) with ordinality as k (account_id, place)
         left join account a on a.account_id = k.account_id order by k.place"#,
        ids
    )
    .fetch_all(connection)
    .await?)
}
