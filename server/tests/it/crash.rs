//! The private Postgres: it is there whenever somebody needs it and gone when nobody does,
//! whatever is killed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use testkit::{client, folder};

use crate::SAMPLE;
use crate::command_line::tollgate;

/// An installation with a private Postgres.
pub struct Installation {
    pub data_dir: PathBuf,
}

pub struct Running {
    child: Child,
    pub url: String,
}

impl Running {
    /// Starts a server and waits until it is ready.
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program runs");
        let stdout = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let url = line.trim().strip_prefix("Tollgate is ready on ");
        Self {
            url: url.expect("an address").to_owned(),
            child,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Installation {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tollgate(arguments);
        command
            .env_remove("TOLLGATE_SECRET_KEY")
            .env("TOLLGATE_DATA_DIR", &self.data_dir)
            .env("TOLLGATE_ADDR", "127.0.0.1:0");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the program runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    pub fn serve(&self) -> Running {
        Running::start(self.command(&["serve"]))
    }

    fn cluster(&self) -> PathBuf {
        let elsewhere = fs::read_to_string(self.data_dir.join("postgres-location.txt"));
        match elsewhere {
            Ok(text) => text
                .lines()
                .find_map(|line| line.strip_prefix("location: "))
                .expect("a location")
                .into(),
            Err(_) => self.data_dir.join("postgres"),
        }
    }

    /// The process id of the postmaster, while there is one.
    pub fn postmaster(&self) -> Option<String> {
        let text = fs::read_to_string(self.cluster().join("data/postmaster.pid")).ok()?;
        let pid = text.lines().next()?.to_owned();
        Path::new("/proc").join(&pid).exists().then_some(pid)
    }

    /// Blocks until Postgres and its supervisor are gone: they hold this lock until then.
    fn wait_until_stopped(&self) {
        let lock = File::open(self.cluster().join("supervisor.lock")).expect("a lock");
        lock.lock().expect("locked");
        assert_eq!(self.postmaster(), None);
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(self.cluster()));
        drop(fs::remove_dir_all(&self.data_dir));
    }
}

pub fn kill(pid: &str) {
    let status = Command::new("kill").args(["-9", pid]).status();
    assert!(status.expect("kill runs").success());
}

async fn post(url: &str, key: &str, body: &str) -> reqwest::Result<StatusCode> {
    let request = client().post(format!("{url}/api/dify/webhook"));
    let response = request
        .bearer_auth(key)
        .body(body.to_owned())
        .send()
        .await?;
    Ok(response.status())
}

// Each step blocks on another process, so the server under test needs no thread of this runtime.
#[tokio::test]
async fn what_was_acknowledged_survives_every_kill() {
    let installation = Installation {
        data_dir: folder("crash"),
    };
    // Without a server: each command starts Postgres and leaves it stopped.
    installation.run(&["migrate"]);
    installation.run(&[
        "price", "set", "--model", "gpt-4", "--input", "30", "--output", "60",
    ]);
    let created = installation.run(&[
        "key", "create", "--name", "dify", "--scope", "webhook", "--json",
    ]);
    let created: serde_json::Value = serde_json::from_str(&created).expect("JSON");
    let key = created["key"].as_str().expect("a key");
    installation.wait_until_stopped();
    let secret = installation.data_dir.join("secret.key");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(secret).expect("a file"));
    assert_eq!(mode & 0o777, 0o600);

    let balance = || {
        let text = installation.run(&["balance", "--user", "user_789", "--json"]);
        let balance: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        balance["balance"].to_string()
    };
    let server = installation.serve();
    let status = post(&server.url, key, SAMPLE).await.expect("an answer");
    assert_eq!(status, 200);
    assert_eq!(balance(), "-93", "beside the running server");

    // Postgres dies: it comes back by itself, and so does the server.
    let before = installation.postmaster().expect("a postmaster");
    kill(&before);
    let second = SAMPLE.replace("msg_456", "msg_457");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match post(&server.url, key, &second).await.expect("an answer") {
            StatusCode::OK => break,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::INTERNAL_SERVER_ERROR => {
                assert!(Instant::now() < deadline, "Postgres did not come back");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            status => panic!("{status}"),
        }
    }
    assert_ne!(installation.postmaster(), Some(before));
    assert_eq!(balance(), "-186");

    // The server dies: nobody uses Postgres any more, so it stops.
    drop(server);
    installation.wait_until_stopped();
    assert_eq!(balance(), "-186");

    // Both die at once, supervisor included.
    let server = installation.serve();
    let third = SAMPLE.replace("msg_456", "msg_458");
    assert_eq!(
        post(&server.url, key, &third).await.expect("an answer"),
        200
    );
    let postmaster = installation.postmaster().expect("a postmaster");
    drop(server);
    kill(&postmaster);
    assert_eq!(balance(), "-279");
    let verified = installation.run(&["verify", "--json"]);
    assert!(verified.contains("\"ok\":true"), "{verified}");

    // A server that is asked to stop takes Postgres with it, before it ends.
    let mut server = installation.serve();
    let pid = server.child.id().to_string();
    let status = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(status.expect("kill runs").success());
    let ended = server.child.wait().expect("an end");
    assert!(ended.success(), "{ended}");
    assert_eq!(installation.postmaster(), None);
    installation.wait_until_stopped();
}
