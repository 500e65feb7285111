//! The node's own count of time.

number! {
    /// A moment on one node's clock, counted in ticks since its process started (default 50 ms
    /// each). Ticks of different nodes, or of two starts of one node, have nothing in common.
    Tick(u64)
}

impl Tick {
    /// The moment `ticks` later.
    #[must_use]
    pub const fn after(self, ticks: u64) -> Self {
        Self(self.0.saturating_add(ticks))
    }

    /// How many ticks have passed since `earlier`; none if that lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}
