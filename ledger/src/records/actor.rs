/// Who acts, and from where: an address, or `command line`.
#[derive(Debug, Clone)]
pub struct Actor {
    pub name: String,
    pub origin: String,
}
