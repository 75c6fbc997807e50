//! What `sqlx::query!` was checked against when this was compiled is what Postgres says today. `make queries`
//! renews it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection, SqlSafeStr as _};
use testkit::Database;

const MACROS: [&str; 3] = ["sqlx::query!(", "sqlx::query_as!(", "sqlx::query_scalar!("];
const REMEDY: &str = "run `make queries` and commit .sqlx";

fn of_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The committed descriptions, by the names of their files.
fn descriptions() -> BTreeMap<String, Value> {
    let files = fs::read_dir(of_repository(".sqlx")).expect("the folder of descriptions");
    files
        .map(|file| {
            let file = file.unwrap();
            let text = fs::read_to_string(file.path()).unwrap();
            let name = file.file_name().into_string().unwrap();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect()
}

fn file_name(statement: &str) -> String {
    let digest = Sha256::digest(statement.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("query-{hex}.json")
}

/// Files of Rust code in a folder and below.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| match entry.file_type().unwrap().is_dir() {
            true => sources(&entry.path()),
            false => vec![entry.path()],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The statements of all `query!` in a file: each the first string of its arguments.
fn statements(code: &str) -> Vec<&str> {
    let calls = MACROS.iter().flat_map(|name| code.split(name).skip(1));
    calls
        .map(|call| {
            let (before, string) = call.split_once('"').expect("a literal");
            let end = if before.ends_with("r#") { "\"#" } else { "\"" };
            let (statement, _) = string.split_once(end).expect("the end of the literal");
            assert!(
                end != "\"" || !statement.contains('\\'),
                "write it as a raw string: {statement}"
            );
            statement
        })
        .collect()
}

/// As Postgres describes it, except for whether columns may be null of which the statement says so itself.
fn without_overridden(mut description: Value) -> Value {
    let columns = description["columns"].as_array().unwrap();
    let is_overridden: Vec<bool> = columns
        .iter()
        .map(|column| column["name"].as_str().unwrap().contains(['!', '?', ':']))
        .collect();
    for (column, is_overridden) in is_overridden.into_iter().enumerate() {
        if is_overridden {
            description["nullable"][column] = Value::Null;
        }
    }
    description
}

async fn describe(connection: &mut PgConnection, statement: &str) -> sqlx::Result<Value> {
    let statement = AssertSqlSafe(statement.to_owned()).into_sql_str();
    let described = connection.describe(statement).await?;
    Ok(serde_json::to_value(&described).unwrap())
}

#[tokio::test]
async fn every_statement_that_was_checked_is_described_as_the_schema_has_it() {
    let mut connection = Database::migrated()
        .await
        .options()
        .connect()
        .await
        .unwrap();
    // As the macros do, because whether a column may be null is read from the plan.
    sqlx::query("set plan_cache_mode = force_generic_plan")
        .execute(&mut connection)
        .await
        .unwrap();
    let descriptions = descriptions();
    assert!(descriptions.len() > 50, "{}", descriptions.len());
    for (name, committed) in descriptions {
        let statement = committed["query"].as_str().unwrap();
        let today = describe(&mut connection, statement).await;
        let today = today.unwrap_or_else(|error| panic!("{REMEDY}: {name}: {statement}: {error}"));
        assert_eq!(
            without_overridden(committed["describe"].clone()),
            without_overridden(today),
            "{REMEDY}: {name}: {statement}"
        );
    }
}

#[test]
fn every_checked_statement_has_its_description_and_no_description_is_left_over() {
    let code: Vec<String> = sources(&of_repository("ledger/src"))
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let mut of_code: Vec<String> = code
        .iter()
        .flat_map(|code| statements(code))
        .map(file_name)
        .collect();
    of_code.sort();
    of_code.dedup();
    let descriptions = descriptions();
    let committed: Vec<&String> = descriptions.keys().collect();
    assert_eq!(of_code.iter().collect::<Vec<_>>(), committed, "{REMEDY}");
    for (name, description) in &descriptions {
        assert_eq!(&file_name(description["query"].as_str().unwrap()), name);
    }
}
