//! Locks that belong to no row. Their numbers are arbitrary, distinct, and only ever used here.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;

pub(crate) const MAINTENANCE_LOCK: i64 = 0x746f_6c6c_0001;
pub(crate) const PRICE_LOCK: i64 = 0x746f_6c6c_0002;
/// Of the process that does the recurring work.
const LEADER_LOCK: i64 = 0x746f_6c6c_0003;
/// First half of the lock of a running job; the second is taken from its id.
const JOB_LOCK: i32 = 0x746f_6c6c;

/// Waits for a lock that ends with the transaction.
pub(crate) async fn lock_transaction(tx: &mut PgConnection, lock: i64) -> Result<()> {
    sqlx::query!("select pg_advisory_xact_lock($1)", lock)
        .execute(tx)
        .await?;
    Ok(())
}

/// Takes the lead if nobody has it. It ends with the connection, so that a process that dies gives
/// it up.
pub(crate) async fn try_lead(connection: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select pg_try_advisory_lock($1) as "is_ours!""#,
        LEADER_LOCK
    )
    .fetch_one(connection)
    .await?)
}

/// Waits for a job's lock, which ends with the connection.
pub(crate) async fn lock_job(connection: &mut PgConnection, id: Uuid) -> Result<()> {
    sqlx::query!("select pg_advisory_lock($1, $2)", JOB_LOCK, half_of(id))
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes a job's lock if no process is at the job. It ends with the connection.
pub(crate) async fn try_lock_job(connection: &mut PgConnection, id: Uuid) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select pg_try_advisory_lock($1, $2) as "is_ours!""#,
        JOB_LOCK,
        half_of(id)
    )
    .fetch_one(connection)
    .await?)
}

fn half_of(id: Uuid) -> i32 {
    let [a, b, c, d, ..] = id.into_bytes();
    let [.., e, f, g, h] = id.into_bytes();
    i32::from_be_bytes([a ^ e, b ^ f, c ^ g, d ^ h])
}
