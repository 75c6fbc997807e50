//! The programs that are measured, as processes of their own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a server may take to start.
const START_MAX: Duration = Duration::from_secs(120);
/// How often a process's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A program with only those settings that are given here. It ends with this one, even when this
/// one is killed.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program);
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        let is_setting = name_text.starts_with("TOLLGATE_") || name_text.starts_with("PG");
        if is_setting && name_text != "TOLLGATE_POSTGRES_BIN" || name_text == "DATABASE_URL" {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What a command runs, for people.
fn name_of(command: &Command) -> String {
    let program = command.as_std().get_args().nth(2).unwrap_or_default();
    program.display().to_string()
}

/// A server that said where it listens.
pub struct ServerProcess {
    child: Child,
    /// Kept open: what the server says later must not fail.
    _stdout: BufReader<ChildStdout>,
    addr: SocketAddr,
}

impl ServerProcess {
    /// Starts a server whose first line ends with `http://` and its address.
    pub async fn start(mut command: Command, log: &Path) -> Result<Self> {
        let errors = File::create(log).with_context(|| log.display().to_string())?;
        let name = name_of(&command);
        let started = async {
            let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn()?;
            let mut stdout = BufReader::new(child.stdout.take().context("no output")?);
            let mut line = String::new();
            timeout(START_MAX, stdout.read_line(&mut line)).await??;
            let (_, addr) = line
                .trim()
                .rsplit_once("http://")
                .with_context(|| format!("it said “{}”", line.trim()))?;
            Ok(Self {
                addr: addr.parse()?,
                child,
                _stdout: stdout,
            })
        };
        started.await.map_err(|error: anyhow::Error| {
            let log = fs::read_to_string(log).unwrap_or_default();
            error.context(format!("{name} did not start: {log}"))
        })
    }

    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its memory, now and at most so far; `None` once it has ended.
    pub fn memory(&self) -> Option<Memory> {
        self.child.id().and_then(Memory::of)
    }
}

/// What a process takes of the machine's memory, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    pub now: u64,
    pub peak: u64,
}

impl Memory {
    /// `None` once the process has ended.
    fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kib * 1024)
        };
        Some(Self {
            now: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }
}

/// A command that has ended.
pub struct CommandOutput {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub elapsed: Duration,
    /// The most memory it was seen with.
    pub peak: u64,
}

/// Runs a command to its end. `input` is what it reads, before it prints much.
pub async fn run(mut command: Command, input: &str) -> Result<CommandOutput> {
    let name = name_of(&command);
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{name} cannot be run"))?;
    let pid = child.id().context("no process")?;
    let mut stdin = child.stdin.take().context("no input")?;
    stdin.write_all(input.as_bytes()).await?;
    drop(stdin);
    let mut peak = 0;
    let mut ending = pin!(child.wait_with_output());
    let output = loop {
        tokio::select! {
            output = &mut ending => break output?,
            () = sleep(LOOK_EVERY) => {
                if let Some(memory) = Memory::of(pid) {
                    peak = memory.peak;
                }
            }
        }
    };
    Ok(CommandOutput {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        elapsed: begun.elapsed(),
        peak,
    })
}

/// Runs a command that must succeed, and gives what it printed.
pub async fn output(command: Command, input: &str) -> Result<String> {
    let name = name_of(&command);
    let ended = run(command, input).await?;
    if !ended.status.success() {
        bail!("{name} failed ({}): {}", ended.status, ended.stderr.trim());
    }
    Ok(ended.stdout)
}
