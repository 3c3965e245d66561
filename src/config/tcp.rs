//! `tcp-map`: what of it is kept.

use crate::policy::TcpMap;

/// A TCP map by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTcpMap {
    /// Its name.
    pub name: String,
    /// What it says.
    pub map: TcpMap,
}
