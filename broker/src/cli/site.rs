//! `warren site`: the sites of multi-active policies, draining this one, and giving
//! another up for lost.

use std::process::ExitCode;

use clap::Subcommand;

use super::client::Ask;
use super::client::Client;
use super::{CliError, output};
use crate::management::model::SitesView;

/// `warren site`.
pub(super) type Args = Ask<Action>;

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Action {
    /// Name this site and the others.
    List {
        /// For programs: JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the links with every other site: state, lag, rates, what went wrong.
    Status {
        /// For programs: JSON.
        #[arg(long)]
        json: bool,
    },
    /// Turn this site's clients away, naming the other sites; what waits for those
    /// goes on moving, and then the site is drained.
    Drain,
    /// Take clients again.
    Undrain,
    /// Give another site up for lost, for good: what it was given of shared queues
    /// and has not acknowledged is for consumers here again. If it is not lost, or
    /// comes back with its disks, what it had taken is handed out twice.
    Reclaim {
        /// The site.
        site: String,
    },
    /// Take the links of a site again that was given up for lost.
    Admit {
        /// The site.
        site: String,
    },
}

/// Where a node tells of sites.
const SITES: &str = "/api/sites";
const DRAIN: &str = "/api/sites/drain";

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let client = args.client();
    match &args.action {
        Action::List { json } => list(&client, *json)?,
        Action::Status { json } => status(&client, *json)?,
        Action::Drain => {
            client.put::<()>(DRAIN, &())?;
            output::say(
                "clients are turned away; `warren site status` says when nothing waits for other sites any more",
            )?;
        }
        Action::Undrain => {
            client.delete::<()>(DRAIN, &[])?;
            output::say("clients are taken again")?;
        }
        Action::Reclaim { site } => reclaim(&client, site)?,
        Action::Admit { site } => {
            client.delete::<()>(&lost(site), &[])?;
            output::say(&format!("links of site '{site}' are taken again"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn lost(site: &str) -> String {
    format!("{SITES}/{site}/lost")
}

fn reclaim(client: &Client, site: &str) -> Result<(), CliError> {
    let view: SitesView = client.get(SITES, &[])?;
    let theirs: Vec<_> = view.sites.iter().filter(|row| row.site == site).collect();
    if theirs.is_empty() {
        return Err(CliError::Usage(format!("no policy names a site '{site}', and it has nothing of a queue here")));
    }
    let outbound = theirs.iter().flat_map(|row| &row.outbound).filter(|out| out.scope == "queue");
    let (consigned, linked) = outbound.fold((0, false), |(sum, linked), out| (sum + out.lag, linked || out.connected));
    if linked {
        return Err(CliError::Usage(format!("site '{site}' is not lost: its links are connected")));
    }
    client.put::<()>(&lost(site), &())?;
    output::say(&format!(
        "{consigned} messages that site '{site}' was given are for consumers here again; what it has taken of them \
         nonetheless is handed out twice. Its links are refused until `warren site admit {site}`"
    ))
}

fn list(client: &Client, json: bool) -> Result<(), CliError> {
    let view: SitesView = client.get(SITES, &[])?;
    if json {
        return output::json(&view);
    }
    let here = [view.site, "-".to_owned(), "-".to_owned(), format!("this one, {}", view.state)];
    let others = view.sites.into_iter().map(|site| {
        let linked = site.inbound.iter().filter(|link| link.state == "running").count();
        let state = format!("{linked} of {} links run", site.inbound.len());
        [site.site, site.vhost, site.hosts.join(", "), state]
    });
    output::table(["site", "vhost", "hosts", "state"], std::iter::once(here).chain(others))
}

fn status(client: &Client, json: bool) -> Result<(), CliError> {
    let view: SitesView = client.get(SITES, &[])?;
    if json {
        return output::json(&view);
    }
    output::say(&format!("site {} is {}", view.site, view.state))?;
    if view.shared > 0 {
        output::say(&format!("{} messages are in queues that it shares", view.shared))?;
    }
    for lost in &view.lost {
        output::say(&format!("site {lost} is given up for lost"))?;
    }
    let header =
        ["site", "vhost", "what", "direction", "node", "state", "moved", "rate/s", "lag", "failures", "last error"];
    let lag = |lag: Option<u64>| lag.map_or_else(|| "?".to_owned(), |lag| lag.to_string());
    let mut rows = Vec::new();
    for site in view.sites {
        for link in site.inbound {
            let state = if link.why.is_empty() { link.state } else { format!("{}: {}", link.state, link.why) };
            rows.push([
                site.site.clone(),
                site.vhost.clone(),
                link.name,
                "from there".to_owned(),
                link.node,
                state,
                link.moved.to_string(),
                format!("{:.0}", link.rate),
                lag(link.lag),
                link.failures.to_string(),
                link.last_error.unwrap_or_default(),
            ]);
        }
        for out in site.outbound {
            let state = match (out.state.as_str(), out.connected) {
                ("running", true) => "linked".to_owned(),
                ("running", false) if out.scope == "queue" => "consigned, waits for its link".to_owned(),
                ("running", false) => "waits for its link".to_owned(),
                (other, _) => other.to_owned(),
            };
            rows.push([
                site.site.clone(),
                site.vhost.clone(),
                out.queue,
                "to there".to_owned(),
                "-".to_owned(),
                state,
                "-".to_owned(),
                format!("{:.0}", out.rate),
                out.lag.to_string(),
                "-".to_owned(),
                String::new(),
            ]);
        }
    }
    output::table(header, rows)
}
