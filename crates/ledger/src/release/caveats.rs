//! Why the steps may not be enough, and what else they do.

use super::needs::{Needs, Part, hidden_users};
use super::simulate::Simulation;
use super::words::name;
use crate::account::Ledger;
use crate::graph::{EndKind, To, is_user};
use crate::walks::{can_be_mapped, is_program_array};
use model::{By, Detail, Facts, Kind, Object, escape_controls};

/// So many sentences of one sort are written out; the rest is counted.
const WRITTEN: usize = 8;

pub(super) fn caveats(
    ledger: &Ledger,
    target: usize,
    needs: &Needs,
    simulation: &Simulation<'_>,
) -> Vec<String> {
    let facts = ledger.facts(target);
    if is_kernel_btf(facts) {
        let name = name(facts);
        return vec![format!(
            "{name} belongs to the kernel, and stays as long as it does."
        )];
    }
    if ledger.objects()[target].explained == 0 && facts.refcnt == Some(0) {
        return vec![format!("{} is being freed already.", name(facts))];
    }
    let context = Context {
        ledger,
        needs,
        simulation,
    };
    let mut sentences = Vec::new();
    let blocks = context.blocks();
    if !simulation.is_freed(target) && blocks.is_empty() {
        few(&mut sentences, context.cycles(target), "more such cycles");
    }
    few(&mut sentences, blocks, "more such references");
    few(
        &mut sentences,
        context.detaches(),
        "more links detach likewise",
    );
    few(
        &mut sentences,
        context.empties(),
        "more program arrays are emptied likewise",
    );
    few(&mut sentences, context.mappings(), "more such maps");
    sentences
}

/// Where references can stand that lastref does not look for yet.
fn candidates(kind: Kind) -> &'static str {
    match kind {
        Kind::Map => {
            "Not looked for yet: descriptors in flight over a socket or fixed in io_uring, \
             AF_XDP sockets, struct_ops without a link."
        }
        Kind::Prog => {
            "Not looked for yet: attachments without a link (cgroup, XDP, tc, perf …), sockets, \
             devmap entries, timers, descriptors in flight or in io_uring."
        }
        Kind::Link | Kind::Btf => {
            "Not looked for yet: descriptors in flight over a socket or fixed in io_uring."
        }
    }
}

/// Takes over the first of `found`, and says how many there are beyond.
fn few(sentences: &mut Vec<String>, mut found: Vec<String>, rest: &str) {
    let beyond = found.len().saturating_sub(WRITTEN);
    found.truncate(WRITTEN);
    sentences.append(&mut found);
    if beyond > 0 {
        sentences.push(format!("And {beyond} {rest}."));
    }
}

struct Context<'a> {
    ledger: &'a Ledger,
    needs: &'a Needs,
    simulation: &'a Simulation<'a>,
}

impl<'a> Context<'a> {
    fn needed(&self) -> impl Iterator<Item = (usize, &'a Object)> {
        let objects = self.needs.objects().iter();
        objects.map(|&at| (at, &self.ledger.objects()[at]))
    }

    /// References on the chains that no step can drop.
    fn blocks(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for (at, object) in self.needed() {
            let part = self.needs.part(at);
            let hidden = hidden_users(&object.facts);
            if part == Some(Part::All) || hidden {
                let remainder = self.remainder(object);
                let map = name(&object.facts);
                let by_user = || format!("User space may hold {map} in ways that were not found.");
                sentences.extend(match part {
                    Some(Part::User) => Some(remainder.unwrap_or_else(by_user)),
                    _ => remainder,
                });
            }
            for reference in self.ledger.graph.refs_to(at) {
                let reference = &self.ledger.graph.refs[reference];
                if part == Some(Part::All) || is_user(reference.by) {
                    self.nameless(&object.facts, reference, &mut sentences);
                }
            }
        }
        sentences
    }

    /// What is not known of an account.
    fn remainder(&self, object: &Object) -> Option<String> {
        let name = name(&object.facts);
        let Some(refcnt) = object.facts.refcnt else {
            return Some(if is_kernel_btf(&object.facts) {
                format!("{name} belongs to the kernel, and stays.")
            } else {
                format!(
                    "The reference count of {name} could not be read, \
                     so it may have holders that are not listed."
                )
            });
        };
        if refcnt < object.explained {
            return Some(format!(
                "The account of {name} was still moving: look again."
            ));
        }
        let left = refcnt - object.explained;
        if left == 0 {
            return (refcnt == 0).then(|| format!("{name} is being freed already."));
        }
        let have = references(left);
        Some(match (&self.ledger.out_of_sight, object.settled) {
            (Some(reason), _) => format!(
                "{have} to {name} may be held where lastref cannot look ({}).",
                escape_controls(reason)
            ),
            (None, true) => format!(
                "{have} to {name} could not be explained, and may keep it. {}",
                candidates(object.facts.kind)
            ),
            (None, false) => {
                format!(
                    "{have} to {name} could not be explained while its count moved: look again."
                )
            }
        })
    }

    /// Holders that are not known well enough to say how they let go.
    fn nameless(&self, facts: &Facts, reference: &crate::graph::Ref, out: &mut Vec<String>) {
        let graph = &self.ledger.graph;
        let holds = &graph.holds[reference.holds.clone()];
        if holds.is_empty() && reference.count > 0 {
            let have = references(reference.count);
            out.push(format!("{have} to {} have no known holder.", name(facts)));
        }
        for &to in holds {
            if let To::End(end) = to
                && graph.ends[end].kind == EndKind::Lost
            {
                let holder = graph.end_holder(end, |o| self.ledger.facts(o), Vec::new());
                let holder = match holder.object() {
                    Some((kind, object)) => match object.id {
                        Some(id) => format!("{kind}:{id}"),
                        None => format!("A {kind} without an id"),
                    },
                    None => continue,
                };
                let held = name(facts);
                out.push(format!(
                    "{holder} holds {held}, but what holds it was not seen."
                ));
            }
        }
    }

    /// Nothing is left to drop, but objects hold each other.
    fn cycles(&self, target: usize) -> Vec<String> {
        let mut sentences = Vec::new();
        for (array, object) in self.needed() {
            if !is_program_array(&object.facts) || self.simulation.is_emptied(array) {
                continue;
            }
            let inside = |&&r: &&usize| {
                let reference = &self.ledger.graph.refs[r];
                reference.by == By::ProgArray
                    && self.ledger.reach.same_component(array, reference.object)
            };
            let Some(slot) = self.ledger.graph.refs_by(array).iter().find(inside) else {
                continue;
            };
            let prog = name(self.ledger.facts(self.ledger.graph.refs[*slot].object));
            let map = name(&object.facts);
            let id = object.facts.id.map_or("ID".into(), |id| id.to_string());
            sentences.push(format!(
                "{map} (a program array) and {prog} keep each other: clear its slots, for example \
                 with `bpftool map delete id {id} key …`. The kernel does that by itself when the \
                 last descriptor and pin of the array go."
            ));
        }
        if sentences.is_empty() {
            let target = name(self.ledger.facts(target));
            sentences.push(format!(
                "{target} is kept by objects that keep each other: these steps do not free it."
            ));
        }
        sentences
    }

    fn detaches(&self) -> Vec<String> {
        let on_chains = |at: usize| self.needs.part(at).is_some();
        let objects = self.ledger.objects().iter().enumerate();
        let links = objects.filter(|&(at, _)| on_chains(at) || self.simulation.is_freed(at));
        let sentence = |(_, link): (usize, &Object)| {
            let Detail::Link(detail) = &link.facts.detail else {
                return None;
            };
            if detail.detached {
                return None;
            }
            let what = match detail.prog_id {
                Some(prog) => format!("prog:{prog}"),
                None => "it".to_owned(),
            };
            let target = match &detail.target {
                Some(target) => escape_controls(target),
                None => "its target".to_owned(),
            };
            let link = name(&link.facts);
            Some(format!("Dropping {link} detaches {what} from {target}."))
        };
        links.filter_map(sentence).collect()
    }

    fn empties(&self) -> Vec<String> {
        let objects = self.ledger.objects().iter().enumerate();
        let emptied = objects
            .filter(|&(at, _)| self.simulation.is_emptied(at) && !self.simulation.is_freed(at));
        let sentence = |(_, map): (usize, &Object)| {
            let map = name(&map.facts);
            format!(
                "When the last descriptor and pin of {map} go, the kernel empties this program \
                 array: tail calls through it fail from then on."
            )
        };
        emptied.map(sentence).collect()
    }

    /// Closing a descriptor leaves a mapping of the same file.
    fn mappings(&self) -> Vec<String> {
        let mappable = |&(_, object): &(usize, &Object)| {
            object.facts.kind == Kind::Map
                && can_be_mapped(&object.facts)
                && object.facts.references.iter().any(|r| r.by == By::Fd)
        };
        let sentence = |(_, map): (usize, &Object)| {
            let map = name(&map.facts);
            format!(
                "A mapping of {map} outlasts its descriptors: whoever mapped it must unmap it too."
            )
        };
        self.needed().filter(mappable).map(sentence).collect()
    }
}

fn is_kernel_btf(facts: &Facts) -> bool {
    matches!(&facts.detail, Detail::Btf(btf) if btf.kernel_btf)
}

fn references(count: u64) -> String {
    if count == 1 {
        "1 reference".to_owned()
    } else {
        format!("{count} references")
    }
}
