//! Doing a drill: load, steps, and the account.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::load::{GLANCE, Load, Places};
use super::plan::{Plan, Roles, Step, Who};
use super::report::{Report, millis};
use super::watch::Watcher;
use super::{Cluster, DrillError, Fault};
use crate::load::Topology;
use crate::management::model::QueueRow;

/// A drill to be done.
#[derive(Clone, Debug)]
pub struct Drill {
    /// What.
    pub plan: Plan,
    /// The queue's name begins with this.
    pub queue_prefix: String,
    /// For whatever should come about by itself.
    pub patience: Duration,
    /// A longer pause of the steady publisher than this is a failure.
    pub most_gap: Option<Duration>,
}

/// How a drill stands.
struct Course<'a, C> {
    drill: &'a Drill,
    cluster: &'a mut C,
    load: Load,
    watcher: Watcher,
    runtime: &'a Runtime,
    roles: Roles,
    queue: String,
    say: &'a dyn Fn(&str),
    first_fault: Option<Instant>,
    /// When the last thing was done.
    mended: Instant,
    in_sync: Option<(Duration, Duration)>,
}

impl Drill {
    /// Does it; `say` is told of each step.
    ///
    /// # Errors
    /// It could not be done. What it found wrong is in the report instead.
    pub fn run(&self, cluster: &mut impl Cluster, runtime: &Runtime, say: &dyn Fn(&str)) -> Result<Report, DrillError> {
        let run: u32 = rand::random();
        let topology = Topology {
            prefix: format!("{}-{run:08x}", self.queue_prefix),
            queues: 1,
            durable: true,
            arguments: Vec::new(),
        };
        let queue = topology.queue_of(0).to_string();
        let nodes = cluster.nodes();
        let Some((_, uri)) = nodes.first() else {
            return Err(DrillError::Cluster("the cluster has no nodes".to_owned()));
        };
        runtime.block_on(topology.declare(uri))?;
        let (begun, roles) = self.until("a leader and mirrors in sync", || roles(cluster, &queue))?;
        let hurt = roles.hurt(&self.plan.step);
        let uris = |hurt_ones: bool| {
            let wanted = nodes.iter().filter(|(name, _)| hurt.contains(name) == hurt_ones);
            wanted.map(|(_, uri)| uri.clone()).collect()
        };
        let places = Places { steady: uris(false), hurt: uris(true) };
        let mut report = Report {
            drill: self.plan.name.clone(),
            queue: queue.clone(),
            roles: roles.clone(),
            steady: !places.steady.is_empty(),
            epoch_before: begun.epoch,
            ..Report::default()
        };
        say(&format!("{queue} is led by {} and mirrored on {}", roles.leader, roles.mirrors.join(" and ")));

        let load = Load::start(&self.plan.load, self.patience, runtime, run, &topology, &places);
        let watcher = Watcher::begin(&load.shared);
        let mut course = Course {
            drill: self,
            cluster,
            load,
            watcher,
            runtime,
            roles,
            queue,
            say,
            first_fault: None,
            mended: Instant::now(),
            in_sync: None,
        };
        let drilled = course.steps();
        let Course { cluster, load, watcher, in_sync, queue, .. } = course;
        // The load is stopped in any case; what kept the drill from its end comes first.
        let gaps = load.gaps.clone();
        let now = load.shared.now();
        report.longest_confirm_gap_ms = millis(gaps.confirms.longest(now));
        report.longest_confirm_gap_of_hurt_client_ms = millis(gaps.hurt_confirms.longest(now));
        report.longest_delivery_gap_ms = millis(gaps.deliveries.longest(now));
        let done = load.stop(self.patience, runtime);
        report.watch = watcher.end();
        drilled?;
        let done = done?;
        let ended = see(cluster, &queue);
        report.leader = ended.as_ref().and_then(|row| row.leader.clone());
        report.epoch_after = ended.as_ref().map_or(0, |row| row.epoch);
        report.back_in_sync_ms = in_sync.map(|(since_mended, _)| millis(since_mended));
        report.back_in_sync_since_fault_ms = in_sync.map(|(_, since_fault)| millis(since_fault));
        report.count(&done);
        report.judge(&done.published, self.patience, self.most_gap);
        runtime.block_on(topology.delete(uri))?;
        Ok(report)
    }

    fn until<T>(&self, what: &'static str, mut look: impl FnMut() -> Option<T>) -> Result<T, DrillError> {
        let deadline = Instant::now() + self.patience;
        loop {
            match look() {
                Some(found) => return Ok(found),
                None if Instant::now() > deadline => {
                    return Err(DrillError::Late { what, seconds: self.patience.as_secs() });
                }
                None => std::thread::sleep(GLANCE),
            }
        }
    }
}

/// Who is what for a queue that is as it should be.
#[must_use]
pub fn roles(cluster: &impl Cluster, queue: &str) -> Option<(QueueRow, Roles)> {
    let row = see(cluster, queue)?;
    let leader = row.leader.clone().filter(|_| !row.mirrors.is_empty() && is_in_sync(&row))?;
    let nodes = cluster.nodes();
    let raft_leader = nodes.iter().find_map(|(name, _)| cluster.raft_leader(name).ok().flatten())?;
    Some((row.clone(), Roles { leader, mirrors: row.mirrors, raft_leader }))
}

/// The queue, as the first node that answers sees it.
fn see(cluster: &impl Cluster, queue: &str) -> Option<QueueRow> {
    cluster.nodes().iter().find_map(|(name, _)| cluster.queue(name, queue).ok().flatten())
}

fn is_in_sync(row: &QueueRow) -> bool {
    row.in_sync.len() == row.mirrors.len() + 1
}

impl<C: Cluster> Course<'_, C> {
    fn steps(&mut self) -> Result<(), DrillError> {
        let load = &self.load;
        self.drill.until("a first delivery", || load.flows().then_some(()))?;
        self.load.pass(self.drill.plan.load.before.get())?;
        self.load.restart_gaps();
        for step in &self.drill.plan.step {
            self.step(step)?;
        }
        self.load.pass(self.drill.plan.load.after.get())
    }

    fn step(&mut self, step: &Step) -> Result<(), DrillError> {
        let what = step.say(&self.roles);
        (self.say)(&what);
        if !matches!(step, Step::Wait { .. } | Step::InSync {}) {
            self.watcher.mark(&what);
        }
        match step {
            Step::Kill { nodes } => self.each(*nodes, Fault::Kill),
            Step::Stop { nodes } => self.each(*nodes, Fault::Stop),
            Step::Start { nodes } => self.each(*nodes, Fault::Start),
            Step::Freeze { nodes } => self.each(*nodes, Fault::Freeze),
            Step::Thaw { nodes } => self.each(*nodes, Fault::Thaw),
            Step::Wipe { nodes } => self.each(*nodes, Fault::Wipe),
            Step::Tear { nodes } => self.each(*nodes, Fault::Tear),
            Step::Fill { nodes } => self.each(*nodes, Fault::Fill),
            Step::Free { nodes } => self.each(*nodes, Fault::Free),
            Step::Drain { nodes } => self.each(*nodes, Fault::Drain),
            Step::Undrain { nodes } => self.each(*nodes, Fault::Undrain),
            Step::Rebalance {} => self.fault(&Fault::Rebalance),
            Step::Jump { nodes, seconds } => self.each(*nodes, |node| Fault::Jump(node, *seconds)),
            Step::Slow { nodes, delay, loss_percent } => {
                self.each(*nodes, |node| Fault::Slow(node, delay.get(), *loss_percent))
            }
            Step::Lose { nodes, percent } => self.each(*nodes, |node| Fault::Lose(node, *percent)),
            Step::Cut { from, to, one_way } => self.cut(*from, *to, *one_way),
            Step::Heal {} => self.fault(&Fault::Heal),
            Step::Flap { from, to, times, every } => {
                for _ in 0..*times {
                    self.cut(*from, *to, false)?;
                    self.load.pass(every.get())?;
                    self.fault(&Fault::Heal)?;
                    self.load.pass(every.get())?;
                }
                Ok(())
            }
            Step::Roll {} => {
                for node in self.roles.of(Who::All) {
                    self.watcher.mark(&format!("restart {node}"));
                    self.fault(&Fault::Stop(node.clone()))?;
                    self.fault(&Fault::Start(node))?;
                    self.in_sync()?;
                }
                Ok(())
            }
            Step::Publish { messages } => self.load.publish(*messages, self.runtime),
            Step::Wait { time } => self.load.pass(time.get()),
            Step::InSync {} => self.in_sync(),
        }
    }

    fn each(&mut self, who: Who, fault: impl Fn(String) -> Fault) -> Result<(), DrillError> {
        self.roles.of(who).into_iter().try_for_each(|node| self.fault(&fault(node)))
    }

    fn cut(&mut self, from: Who, to: Who, one_way: bool) -> Result<(), DrillError> {
        let (from, to) = (self.roles.of(from), self.roles.of(to));
        for (one, other) in from.iter().flat_map(|one| to.iter().map(move |other| (one, other))) {
            if one == other {
                continue;
            }
            self.fault(&Fault::Cut(one.clone(), other.clone()))?;
            if !one_way {
                self.fault(&Fault::Cut(other.clone(), one.clone()))?;
            }
        }
        Ok(())
    }

    fn fault(&mut self, fault: &Fault) -> Result<(), DrillError> {
        self.first_fault.get_or_insert_with(Instant::now);
        self.cluster.hurt(fault).map_err(DrillError::Cluster)?;
        self.mended = Instant::now();
        Ok(())
    }

    /// Waits for all replicas; that they never came is for the report.
    fn in_sync(&mut self) -> Result<(), DrillError> {
        self.in_sync = None;
        let begun = Instant::now();
        while begun.elapsed() < self.drill.patience {
            self.load.pass(GLANCE)?;
            if see(self.cluster, &self.queue).is_some_and(|row| row.leader.is_some() && is_in_sync(&row)) {
                let since_fault = self.first_fault.map_or(Duration::ZERO, |fault| fault.elapsed());
                self.in_sync = Some((self.mended.elapsed(), since_fault));
                self.watcher.mark("all in sync");
                (self.say)("all replicas are in sync");
                return Ok(());
            }
        }
        Ok(())
    }
}
