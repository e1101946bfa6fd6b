//! Names: resource patterns, proxy addresses and the stub's answers.
//!
//! [`Name`] is a checked name and [`Names`] hands out small handles for it. [`Pattern`] says which
//! names a resource covers, [`ResourceIndex`] finds the resources of a name. [`ProxyPool`] assigns
//! the addresses that stand for a name, and [`Stub`] answers queries with them.

mod family;
mod index;
mod name;
mod names;
mod pattern;
mod pool;
mod prefix;
mod range;
mod recency;
mod reply;
mod resource;
mod stub;

pub use family::{Families, Family, IpStack};
pub use index::{Match, ResourceIndex};
pub use name::{Name, NameError};
pub use names::{NameId, Names};
pub use pattern::{Pattern, PatternError};
pub use pool::{Exhausted, Proxies, ProxyConfig, ProxyPool, RestoreError};
pub use prefix::{Prefix, PrefixError};
pub use reply::{ROOT_QUERY, adopt_response, root_query, server_failure, truncated};
pub use resource::{IdError, ResourceId};
pub use stub::{Answer, Stub, StubConfig, StubCounters};
