// What drives a component with streams: its clock, and beats that wait for their turn.
// Included by the harnesses beside it, after the Verilated model.

double sc_time_stamp() { return 0; }

namespace {

struct Device {
    VerilatedContext context;
    Vtop top{&context};

    void settle() { top.eval(); }
    void edge() {
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
    }
    // Two cycles of reset; no stream may be offered or taken.
    void reset() {
        top.rst = 1;
        top.clk = 0;
        top.eval();
        edge();
        edge();
        top.rst = 0;
        top.eval();
    }
};

// Each beat is offered gaps[i] cycles after the transfer before it; accepted[i] is its own cycle.
struct Producer {
    const uint8_t *beats;
    uint64_t count;
    const int64_t *gaps;
    int64_t *accepted;
    uint64_t sent = 0;
    int64_t offered_at;

    Producer(const uint8_t *beats, uint64_t count, const int64_t *gaps, int64_t *accepted)
        : beats(beats), count(count), gaps(gaps), accepted(accepted),
          offered_at(count ? gaps[0] : 0) {}

    template <class Valid, class Payload>
    bool offer(int64_t cycle, Valid &valid, Payload &payload) {
        const bool now = sent < count && cycle >= offered_at;
        valid = now;
        if (now) std::memcpy(&payload, beats + sent * sizeof(payload), sizeof(payload));
        return now;
    }
    void transferred(int64_t cycle) {
        accepted[sent++] = cycle;
        offered_at = cycle + 1 + (sent < count ? gaps[sent] : 0);
    }
};

// Takes results when ready[cycle % period] says so, always without a period.
struct Consumer {
    const uint8_t *ready;
    uint64_t period;
    uint8_t *results;
    int64_t *emitted;
    uint64_t received = 0;

    bool is_ready(int64_t cycle) const { return period ? ready[cycle % period] : true; }

    template <class Payload>
    void take(int64_t cycle, const Payload &payload) {
        std::memcpy(results + received * sizeof(payload), &payload, sizeof(payload));
        emitted[received++] = cycle;
    }
};

}  // namespace
