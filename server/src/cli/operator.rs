use ledger::Actor;

/// Who acts, as the audit log names them.
pub(super) fn actor() -> Actor {
    let name = ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    Actor {
        name: name.unwrap_or_else(|| "operator".to_owned()),
        origin: "command line".to_owned(),
    }
}
