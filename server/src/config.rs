//! Configuration: command line options, each with an environment variable of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::secret::SecretKey;

/// What every command shares.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Configuration (option or environment variable)")]
pub struct Config {
    /// The Postgres database to use, as postgres://user:password@host/database. Without it,
    /// Tollgate keeps a private Postgres in its data folder.
    #[arg(
        long,
        env = "DATABASE_URL",
        hide_env_values = true,
        global = true,
        value_name = "URL"
    )]
    pub database_url: Option<String>,

    /// The data folder: the private Postgres, and the secret key unless one is given.
    #[arg(
        long,
        env = "TOLLGATE_DATA_DIR",
        default_value = "./data",
        global = true,
        value_name = "FOLDER"
    )]
    pub data_dir: PathBuf,

    /// The address to listen on; port 0 takes a free one.
    #[arg(
        long,
        env = "TOLLGATE_ADDR",
        default_value = "127.0.0.1:3000",
        global = true,
        value_name = "ADDRESS:PORT"
    )]
    pub addr: SocketAddr,

    /// Where people reach Tollgate from outside, such as https://tollgate.example.com. With https,
    /// cookies are sent over TLS only.
    #[arg(
        long,
        env = "TOLLGATE_PUBLIC_URL",
        value_parser = parse_url,
        global = true,
        value_name = "URL"
    )]
    pub public_url: Option<String>,

    /// Where an end user buys points; the pages link to it when a balance does not suffice.
    #[arg(
        long,
        env = "TOLLGATE_RECHARGE_URL",
        value_parser = parse_url,
        global = true,
        value_name = "URL"
    )]
    pub recharge_url: Option<String>,

    /// The folder of the built site; without it, looked for beside the program.
    #[arg(long, env = "TOLLGATE_SITE_ROOT", global = true, value_name = "FOLDER")]
    pub site_root: Option<PathBuf>,

    /// Signs cookies and seals webhook signing secrets: 64 hexadecimal digits. Without it, one is
    /// made and kept in the data folder as `secret.key`. Replicas must share it.
    #[arg(
        long,
        env = "TOLLGATE_SECRET_KEY",
        hide_env_values = true,
        global = true,
        value_name = "HEX"
    )]
    pub secret_key: Option<SecretKey>,

    /// Connections to Postgres that one server may open.
    #[arg(
        long,
        env = "TOLLGATE_DATABASE_CONNECTIONS",
        default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(2..=1000),
        global = true,
        value_name = "COUNT"
    )]
    pub database_connections: u32,

    /// How many groups of messages are charged at the same time. Without it, one for each processor
    /// core that this server may use.
    #[arg(
        long,
        env = "TOLLGATE_WRITERS",
        value_parser = clap::value_parser!(u32).range(1..=256),
        global = true,
        value_name = "COUNT"
    )]
    pub writers: Option<u32>,

    /// Messages that may wait to be charged; one more is answered with 503 and Retry-After.
    #[arg(
        long,
        env = "TOLLGATE_QUEUE_MESSAGES",
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000),
        global = true,
        value_name = "COUNT"
    )]
    pub queue_messages: u32,

    /// Months for which deliveries that charged nothing (duplicates, refusals, what had to wait) stay
    /// in the log of deliveries. Then it goes by whole months; what was charged and what waits stays.
    #[arg(
        long,
        env = "TOLLGATE_DELIVERY_RETENTION_MONTHS",
        default_value_t = 13,
        value_parser = clap::value_parser!(u16).range(1..=1200),
        global = true,
        value_name = "COUNT"
    )]
    pub delivery_retention_months: u16,

    /// Seconds of silence after which a call that is passed on to Dify or to a model counts as lost.
    /// Dify itself says something every ten seconds while a call is running.
    #[arg(
        long,
        env = "TOLLGATE_UPSTREAM_SILENCE_SECONDS",
        default_value_t = 120,
        value_parser = clap::value_parser!(u32).range(1..=3600),
        global = true,
        value_name = "COUNT"
    )]
    pub upstream_silence_seconds: u32,

    /// What to log: error, warn, info, debug or trace, also by module (`info,ledger=debug`).
    /// A server logs from info up, other commands from warn up.
    #[arg(long, env = "TOLLGATE_LOG", global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

impl Config {
    /// Where people reach the server: the public address, or the one it listens on.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.public_url
            .clone()
            .unwrap_or_else(|| local_url(self.addr))
    }

    /// The folder of the built site: as configured, or beside the program, or where a build in
    /// this folder leaves it.
    #[must_use]
    pub fn find_site_root(&self) -> PathBuf {
        if let Some(root) = &self.site_root {
            return root.clone();
        }
        let beside = std::env::current_exe()
            .ok()
            .and_then(|program| Some(program.parent()?.to_owned()));
        let built = PathBuf::from("target/site");
        beside
            .into_iter()
            .flat_map(|folder| [folder.join("../site"), folder.join("site")])
            .chain([built.clone()])
            .find(|root| root.is_dir())
            .unwrap_or(built)
    }
}

/// The address as something to open in a browser of this machine.
#[must_use]
pub fn local_url(addr: SocketAddr) -> String {
    if addr.ip().is_unspecified() {
        format!("http://127.0.0.1:{}", addr.port())
    } else {
        format!("http://{addr}")
    }
}

pub(crate) fn parse_url(text: &str) -> Result<String, String> {
    let text = text.trim().trim_end_matches('/');
    match text.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("must begin with http:// or https://".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_all_interfaces_is_shown_as_one_that_can_be_opened() {
        let url = |addr: &str| local_url(addr.parse().expect("an address"));
        assert_eq!(url("0.0.0.0:80"), "http://127.0.0.1:80");
        assert_eq!(url("127.0.0.1:3000"), "http://127.0.0.1:3000");
        assert_eq!(url("[::1]:3000"), "http://[::1]:3000");
    }

    #[test]
    fn urls_are_http_and_lose_the_last_slash() {
        assert_eq!(
            parse_url("https://tollgate.example/"),
            Ok("https://tollgate.example".to_owned())
        );
        for text in [
            "tollgate.example",
            "ftp://x",
            "https://",
            "javascript:alert(1)",
        ] {
            assert!(parse_url(text).is_err(), "{text}");
        }
    }
}
