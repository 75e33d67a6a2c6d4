//! The decision graph between policy and program.
//!
//! A node is an answer or a question about one word of `struct seccomp_data`. Nodes are hash-consed: two
//! that do the same are one, whichever syscall or architecture they were made for, and a question whose
//! answers are the same is not asked. What is shared here is shared in the program.

use std::num::NonZeroU32;

use crate::action::Action;

/// A node of a [`Dag`]. The first one is 1, so that a place for a node which may be free takes no more than the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(NonZeroU32);

/// What the accumulator holds: a word of the data, as far as the mask goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Load {
    /// Where the word is in `struct seccomp_data`.
    pub(super) offset: u32,
    /// Which bits are looked at.
    pub(super) mask: u32,
}

impl Load {
    /// The whole word.
    pub(super) const fn word(offset: u32) -> Self {
        Self {
            offset,
            mask: u32::MAX,
        }
    }

    /// How many instructions bring it into the accumulator when that holds `held`.
    pub(super) fn cost(self, held: Option<Self>) -> u32 {
        let masks = u32::from(self.mask != u32::MAX);
        match held {
            Some(held) if held == self => 0,
            Some(held) if held == Self::word(self.offset) => masks,
            _ => 1 + masks,
        }
    }
}

/// How the accumulator is compared with a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Test {
    /// Equal.
    Eq(u32),
    /// Greater or equal.
    Ge(u32),
    /// Any of these bits set.
    Set(u32),
}

/// A step of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Node {
    /// The answer.
    Return(u32),
    /// A question and where its answers lead.
    Ask {
        load: Load,
        test: Test,
        yes: NodeId,
        no: NodeId,
    },
    /// Allow the launcher's own call (see `gate`), else go on.
    Gate { open: NodeId, otherwise: NodeId },
}

/// Nodes, each once.
#[derive(Debug)]
pub(super) struct Dag {
    nodes: Vec<Node>,
    /// Of each node: instructions on the longest way to an answer, when its word is loaded already.
    heights: Vec<u32>,
    known: Index,
    answers: Vec<(Action, NodeId)>,
}

impl Default for Dag {
    /// No nodes yet, and room for as many as a usual policy has.
    fn default() -> Self {
        const ROOM: usize = 192;
        Self {
            nodes: Vec::with_capacity(ROOM),
            heights: Vec::with_capacity(ROOM),
            known: Index::with_room(ROOM),
            answers: Vec::new(),
        }
    }
}

impl Dag {
    /// The node of an answer.
    pub(super) fn answer(&mut self, action: Action) -> NodeId {
        // Asked for with every syscall, and always the same few.
        if let Some(&(_, id)) = self.answers.iter().find(|(known, _)| *known == action) {
            return id;
        }
        let id = self.add(Node::Return(action.to_ret()));
        self.answers.push((action, id));
        id
    }

    /// The node of a question; one of its answers' where the question is none.
    pub(super) fn ask(&mut self, load: Load, test: Test, yes: NodeId, no: NodeId) -> NodeId {
        match test {
            _ if yes == no => yes,
            Test::Ge(0) => yes,
            Test::Set(0) => no,
            _ => self.add(Node::Ask {
                load,
                test,
                yes,
                no,
            }),
        }
    }

    /// The launch gate before `otherwise`.
    pub(super) fn gate(&mut self, otherwise: NodeId) -> NodeId {
        let open = self.answer(Action::Allow);
        self.add(Node::Gate { open, otherwise })
    }

    fn add(&mut self, node: Node) -> NodeId {
        let slot = match self.known.find(&self.nodes, &node) {
            Ok(id) => return id,
            Err(slot) => slot,
        };
        let height = match node {
            Node::Return(_) => 1,
            Node::Ask { load, yes, no, .. } => {
                let after = |next| self.height(next, Some(load));
                after(yes).max(after(no)) + 1
            }
            // One call per process goes this way, so the gate is no reason to come near the root.
            Node::Gate { otherwise, .. } => self.height(otherwise, None),
        };
        self.nodes.push(node);
        self.heights.push(height);
        let id = NodeId::of_count(self.nodes.len());
        self.known.put(slot, id, &self.nodes);
        id
    }

    /// The node itself.
    pub(super) fn node(&self, id: NodeId) -> Node {
        // Ids come only from `add`. Should one be foreign all the same, the answer that harms least.
        let killed = Node::Return(Action::KillProcess.to_ret());
        self.nodes.get(id.index()).copied().unwrap_or(killed)
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Is the decision made, without looking at arguments?
    pub(super) fn is_answer(&self, id: NodeId) -> bool {
        matches!(self.node(id), Node::Return(_))
    }

    /// Is it this answer?
    pub(super) fn is(&self, id: NodeId, action: Action) -> bool {
        self.node(id) == Node::Return(action.to_ret())
    }

    /// How many instructions the longest way from here to an answer takes.
    pub(super) fn height(&self, id: NodeId, held: Option<Load>) -> u32 {
        let height = self.heights.get(id.index()).copied().unwrap_or(1);
        match self.node(id) {
            Node::Ask { load, .. } => height.saturating_add(load.cost(held)),
            _ => height,
        }
    }

    /// The nodes that can be reached, each after all that lead to it.
    ///
    /// Of a question's two ways, the one with less behind it comes first, so that the jump over it is short.
    pub(super) fn in_order(&self, root: NodeId) -> Vec<NodeId> {
        let mut seen = vec![false; self.nodes.len()];
        let mut finished = Vec::new();
        // Depth first, by hand: a chain of rules can be longer than a stack is deep.
        let mut open = vec![(root, false)];
        while let Some((id, done)) = open.pop() {
            if done {
                finished.push(id);
                continue;
            }
            match seen.get_mut(id.index()) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            open.push((id, true));
            match self.node(id) {
                Node::Return(_) => {}
                Node::Gate {
                    open: yes,
                    otherwise,
                } => open.extend([(yes, false), (otherwise, false)]),
                Node::Ask { load, yes, no, .. } => {
                    let [first, last] =
                        if self.height(yes, Some(load)) > self.height(no, Some(load)) {
                            [no, yes]
                        } else {
                            [yes, no]
                        };
                    // What is popped first is finished first, and so placed last.
                    open.extend([(first, false), (last, false)]);
                }
            }
        }
        finished.reverse();
        finished
    }

    /// About how many instructions a decision takes up, answers aside.
    pub(super) fn size(&self, root: NodeId) -> usize {
        let reached = self.in_order(root);
        reached.into_iter().map(|id| self.own_size(id)).sum()
    }

    fn own_size(&self, id: NodeId) -> usize {
        match self.node(id) {
            Node::Return(_) => 0,
            Node::Ask { load, yes, no, .. } => {
                let next_loads = [yes, no].into_iter().any(|next| match self.node(next) {
                    Node::Ask { load: next, .. } => next != load,
                    _ => false,
                });
                1 + usize::from(next_loads) * (1 + usize::from(load.mask != u32::MAX))
            }
            Node::Gate { .. } => super::gate::LEN,
        }
    }
}

/// Where nodes are, by what they are: an open hash table of their ids. Nodes are looked up more often than anything
/// else is done, so each is kept once only, in the list.
#[derive(Debug)]
struct Index {
    /// A power of two, at most half of them taken.
    slots: Vec<Option<NodeId>>,
}

/// A place of the [`Index`] that is free.
#[derive(Clone, Copy)]
struct Slot(usize);

impl Index {
    fn with_room(nodes: usize) -> Self {
        Self {
            slots: vec![None; 2 * nodes.next_power_of_two()],
        }
    }

    /// The node's id, or the place where it belongs.
    fn find(&self, nodes: &[Node], node: &Node) -> Result<NodeId, Slot> {
        let mask = self.slots.len() - 1;
        let mut at = node.mixed() & mask;
        // There always is a free place.
        while let Some(&Some(id)) = self.slots.get(at) {
            if nodes.get(id.index()) == Some(node) {
                return Ok(id);
            }
            at = (at + 1) & mask;
        }
        Err(Slot(at))
    }

    /// Adds the last of these nodes at its place.
    fn put(&mut self, slot: Slot, id: NodeId, nodes: &[Node]) {
        self.set(slot, id);
        if nodes.len() * 2 > self.slots.len() {
            self.grow(nodes);
        }
    }

    #[cold]
    fn grow(&mut self, nodes: &[Node]) {
        *self = Self::with_room(self.slots.len());
        for (id, node) in (1..).map(NodeId::of_count).zip(nodes) {
            if let Err(slot) = self.find(nodes, node) {
                self.set(slot, id);
            }
        }
    }

    fn set(&mut self, Slot(at): Slot, id: NodeId) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(id);
        }
    }
}

impl Node {
    /// A number in which all of the node's bits are mixed. A program holds too few nodes for clever collisions to
    /// matter.
    fn mixed(&self) -> usize {
        let words = match *self {
            Self::Return(answer) => [0, answer, 0, 0, 0, 0],
            Self::Ask {
                load,
                test,
                yes,
                no,
            } => {
                let (kind, k) = match test {
                    Test::Eq(k) => (1, k),
                    Test::Ge(k) => (2, k),
                    Test::Set(k) => (3, k),
                };
                [kind, k, load.offset, load.mask, yes.0.get(), no.0.get()]
            }
            Self::Gate { open, otherwise } => [4, 0, 0, 0, open.0.get(), otherwise.0.get()],
        };
        let mixed = words.iter().fold(0_u64, |mixed, &word| {
            // An odd constant with its bits well spread: 2^64 divided by the golden ratio.
            (mixed.rotate_left(5) ^ u64::from(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        // The low bits of a product know nothing of the high ones.
        usize::try_from(mixed >> 32).unwrap_or_default()
    }
}

impl NodeId {
    /// The last of so many nodes, of which there are some.
    fn of_count(nodes: usize) -> Self {
        let number = u32::try_from(nodes).ok().and_then(NonZeroU32::new);
        Self(number.unwrap_or(NonZeroU32::MAX))
    }

    /// Where data about the node is in a list of [`Dag::len`].
    pub(super) fn index(self) -> usize {
        usize::try_from(self.0.get() - 1).unwrap_or(usize::MAX)
    }
}
