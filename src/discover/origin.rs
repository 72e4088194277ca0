//! Who named a root.

/// Who named a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// By what.
    pub named: Named,
    /// The running OpenClaw that it belongs to; our own environment or system if absent.
    pub process: Option<u32>,
}

/// What names a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Named {
    /// A PATH argument.
    Argument,
    /// A variable of an environment.
    Variable(&'static str),
    /// This name in the home directory of an environment.
    InHome(&'static str),
    /// /tmp.
    TempDirectory,
    /// Our own home directory.
    Home,
    /// The home directory of the user who called sudo(8).
    CallersHome,
    /// A home directory of passwd(5).
    UsersHome,
    /// A place that images, units and documentation use.
    System,
    /// A package that is installed here.
    InstalledPackage,
    /// The package that a process runs.
    Package,
    /// A mount of a process.
    Mount,
}

impl From<Named> for Origin {
    fn from(named: Named) -> Self {
        Self { named, process: None }
    }
}
