//! From a command to the part that carries it out.

use super::State;
use super::command::{Change, Command, Outcome};
use super::refusal::Refusal;

impl State {
    pub(super) fn apply_into(&mut self, command: &Command, changes: &mut Vec<Change>) -> Result<Outcome, Refusal> {
        match command {
            Command::Form { cluster } => self.form(cluster),
            Command::PutVhost { name } => self.put_vhost(name, changes),
            Command::DeleteVhost { name } => self.delete_vhost(name, changes),
            Command::PutUser { name, password_hash, tags } => self.put_user(name, password_hash, tags, changes),
            Command::DeleteUser { name } => self.delete_user(name, changes),
            Command::SetPermissions { user, vhost, permissions } => {
                self.set_permissions(user, vhost, Some(permissions), changes)
            }
            Command::ClearPermissions { user, vhost } => self.set_permissions(user, vhost, None, changes),
            Command::DeclareExchange(declare) => self.declare_exchange(declare, changes),
            Command::DeleteExchange { vhost, name, if_unused } => {
                self.delete_exchange(vhost, name, *if_unused, changes)
            }
            Command::DeclareQueue(declare) => self.declare_queue(declare, changes),
            Command::DeleteQueue { queue, compared } => {
                if let Some(compared) = compared.filter(|_| self.queues.contains_key(queue)) {
                    self.compared(*queue, compared)?;
                }
                self.remove_queue(*queue, changes);
                Ok(Outcome::Done)
            }
            Command::DropOwned { owner } => self.drop_owned(owner, changes),
            Command::DropProcess { process } => {
                self.drop_process(process, changes);
                Ok(Outcome::Done)
            }
            Command::Bind(bind) => self.bind(bind, changes),
            Command::Unbind(bind) => self.unbind(bind, changes),
            Command::SetParameter { key, value } => self.set_parameter(key, value, changes),
            Command::ClearParameter { key } => self.clear_parameter(key, changes),
            Command::ApplyPolicies { revision, policies } => self.apply_policies(*revision, policies, changes),
            Command::Register { name, process, nonce, addresses, voter } => {
                let node = super::Node {
                    name: name.clone(),
                    process: *process,
                    nonce: *nonce,
                    addresses: addresses.clone(),
                    voter: *voter,
                    drained: self.nodes.get(&process.node).is_some_and(|known| known.drained),
                    stopping: false,
                };
                self.register(node, changes)
            }
            Command::Forget { node, live, force } => self.forget(*node, live, *force, changes),
            Command::ChangeIsr { queue, epoch, version, isr, trailing } => {
                self.change_isr(*queue, (*epoch, *version), (isr, trailing), changes)
            }
            Command::Offer { queue, epoch, process, end } => self.offer(*queue, *epoch, *process, *end, changes),
            Command::ElectUnclean { queues, live, time } => Ok(self.elect_unclean(queues, live, *time, changes)),
            Command::Elect { dead, live, unwilling, queues } => Ok(self.elect(dead, live, unwilling, queues, changes)),
            Command::Handover { queue, epoch, version, to, live, released } => {
                self.hand_over(*queue, (*epoch, *version), *to, live, *released, changes)
            }
            Command::MovePrimary { group, to, live } => self.move_primary(group, *to, live, changes),
            Command::Resign { queue, epoch, version, live, released } => {
                self.resign(*queue, (*epoch, *version), live, *released, changes)
            }
            Command::LimitVhost { name, limits } => self.limit_vhost(name, *limits, changes),
            Command::LimitUser { name, limits } => self.limit_user(name, *limits, changes),
            Command::SetTopicPermissions { user, vhost, exchange, permissions } => {
                self.set_topic_permissions(user, vhost, exchange, permissions, changes)
            }
            Command::ClearTopicPermissions { user, vhost, exchange } => {
                self.clear_topic_permissions(user, vhost, exchange.as_deref(), changes)
            }
            Command::Retire { queue, epoch, version, node } => self.retire(*queue, (*epoch, *version), *node, changes),
            Command::Drain { node, drained } => self.drain(*node, *drained, changes),
            Command::Stop { process } => self.stop(process, changes),
            Command::Depart { process } => self.depart(process, changes),
            Command::PlanHandovers { moves } => Ok(self.plan_handovers(moves, changes)),
            Command::Synchronize { queue, on, live } => self.synchronize(*queue, *on, live, changes),
            Command::KeepLeading { queue, epoch, version } => self.keep_leading(*queue, (*epoch, *version), changes),
        }
    }

    fn form(&mut self, cluster: &str) -> Result<Outcome, Refusal> {
        match &self.cluster {
            Some(name) if name != cluster => Err(Refusal::Node(format!("the cluster has formed as '{name}' before"))),
            _ => {
                self.cluster = Some(cluster.to_owned());
                Ok(Outcome::Done)
            }
        }
    }
}
