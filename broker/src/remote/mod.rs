//! Links to other brokers, and within this one: shovels and federation. All are
//! one mechanism with different plans, speak AMQP 0-9-1 to both of their ends,
//! and so reach Warren and RabbitMQ alike.
//!
//! - `plan.rs` what a link does; `shovel.rs` what RabbitMQ's parameters say, as
//!   plans; `federation.rs` the same for upstreams; `json.rs` what they have in
//!   common; `sites.rs` the links of multi-active sites
//! - `wanted.rs` which links the catalog wants; `placement.rs` which node runs
//!   each; `keeper.rs` starts and stops them
//! - `link.rs` one link: `source.rs` consumes, `target.rs` publishes, `flow.rs`
//!   what is in between; `ends.rs` what both need before; `mark.rs` what is
//!   written on messages; `backoff.rs` when to try again; `state.rs` what it shows
//! - `connector.rs` to the network, or to the broker that this process is
//! - `parameters.rs` which components parameters may be set for

mod backoff;
mod connector;
mod ends;
mod error;
mod federation;
mod flow;
mod json;
mod keeper;
mod link;
mod mark;
mod parameters;
mod placement;
mod plan;
mod shovel;
mod sites;
mod source;
mod state;
mod target;
mod wanted;

pub use connector::{Connector, LINK_PRODUCT};
pub use error::LinkError;
pub use federation::UPSTREAM;
pub use json::table as json_table;
pub use keeper::{Links, keep};
pub use link::{Ended, run as run_link};
pub use parameters::check;
pub use plan::{From, Kind, LinkKey, LinkPlan, Origin, To};
pub use shovel::COMPONENT as SHOVEL;
pub use sites::{
    DRAINED, FOR_SITE, admits, drained, drains, gives_up, lost, policies as site_policies, shares_queue, site_of,
    turned_away,
};
pub use state::{Condition, LinkState, Snapshot};
