//! From the decision graph to instructions.
//!
//! Every node becomes one piece of code: load the word, mask it, ask. Who comes with the word in the
//! accumulator already enters behind the load.

use super::dag::{Dag, Load, Node, NodeId, Test};
use super::gate;
use crate::bpf::asm::{AsmError, Assembler, Label};
use crate::bpf::{Program, code};

/// The program of the decision at `root`.
pub(super) fn emit(dag: &Dag, root: NodeId) -> Result<Program, AsmError> {
    let order = dag.in_order(root);
    let mut emitter = Emitter {
        dag,
        // A label and an instruction each; some have more, and grow it.
        asm: Assembler::with_room(2 * order.len() + gate::LEN),
        entries: vec![[None; 3]; dag.len()],
    };
    // Nothing is in the accumulator at the start.
    emitter.entry(root, None);
    // Whoever leads to a node comes before it, so its entries are known when its turn comes.
    for id in order {
        emitter.node(id);
    }
    let Emitter { asm, entries, .. } = emitter;
    // To lay out the program is to need room again.
    drop(entries);
    asm.finish()
}

/// The places where the code of a node can be entered.
#[derive(Clone, Copy)]
enum Entry {
    Load,
    Mask,
    Ask,
}

struct Emitter<'a> {
    dag: &'a Dag,
    asm: Assembler,
    /// The labels of those entries that are used, per node.
    entries: Vec<[Option<Label>; 3]>,
}

impl Emitter<'_> {
    /// Where to go for this node, holding that.
    fn entry(&mut self, id: NodeId, held: Option<Load>) -> Label {
        let entry = match (self.dag.node(id), held) {
            (Node::Ask { load, .. }, Some(held)) if held == load => Entry::Ask,
            (Node::Ask { load, .. }, Some(held)) if held == Load::word(load.offset) => Entry::Mask,
            _ => Entry::Load,
        };
        let label = self
            .entries
            .get_mut(id.index())
            .and_then(|entries| entries.get_mut(entry as usize));
        match label {
            Some(Some(label)) => *label,
            Some(none) => *none.insert(self.asm.label()),
            // An id from elsewhere: its label stays unbound, and the assembler will say so.
            None => self.asm.label(),
        }
    }

    fn node(&mut self, id: NodeId) {
        let [unloaded, unmasked, ready] = self.entries.get(id.index()).copied().unwrap_or_default();
        let bind = |asm: &mut Assembler, label: Option<Label>| {
            label.map(|label| asm.bind(label)).is_some()
        };
        match self.dag.node(id) {
            Node::Return(answer) => {
                bind(&mut self.asm, unloaded);
                self.asm.statement(code::RET_K, answer);
            }
            Node::Gate { open, otherwise } => {
                bind(&mut self.asm, unloaded);
                let (open, otherwise) = (self.entry(open, None), self.entry(otherwise, None));
                gate::emit(&mut self.asm, open, otherwise);
            }
            Node::Ask {
                load,
                test,
                yes,
                no,
            } => {
                let loads = bind(&mut self.asm, unloaded);
                if loads {
                    self.asm.statement(code::LD_ABS, load.offset);
                }
                let masks = bind(&mut self.asm, unmasked) || loads;
                if masks && load.mask != u32::MAX {
                    self.asm.statement(code::AND_K, load.mask);
                }
                bind(&mut self.asm, ready);
                let (code, k) = match test {
                    Test::Eq(k) => (code::JEQ_K, k),
                    Test::Ge(k) => (code::JGE_K, k),
                    Test::Set(k) => (code::JSET_K, k),
                };
                let (yes, no) = (self.entry(yes, Some(load)), self.entry(no, Some(load)));
                self.asm.branch(code, k, yes, no);
            }
        }
    }
}
