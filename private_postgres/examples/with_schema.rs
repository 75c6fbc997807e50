//! Runs a command beside an empty database with the schema, whose address it finds in `DATABASE_URL`.
//!
//! usage: `with_schema FOLDER MIGRATIONS COMMAND…`: FOLDER is where the disposable cluster lies.

use std::env::args_os;
use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use private_postgres::Cluster;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

const DATABASE: &str = "with_schema";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = args_os().skip(1);
    let mut next = || arguments.next().ok_or("an argument is missing");
    let (folder, migrations, program) = (PathBuf::from(next()?), PathBuf::from(next()?), next()?);

    let cluster = Cluster::start_empty(&folder).await?;
    let options = cluster.create_database(DATABASE).await?;
    let mut connection = options.connect().await?;
    let mut files = std::fs::read_dir(migrations)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    files.sort();
    for file in files {
        let statements = std::fs::read_to_string(file)?;
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut connection)
            .await?;
    }
    connection.close().await?;

    let url = format!(
        "postgres:///{DATABASE}?user=tollgate&host={}",
        cluster.socket_folder().display()
    );
    let status = Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", url)
        .status()?;
    cluster.leave().await;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
