// Drives a weight-stationary engine, two operand streams and one of results, many cycles per call.
// Compiled together with the Verilated model; called through ctypes.

#include <cstdint>
#include <cstring>

#include "Vtop.h"
#include "verilated.h"

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
    void reset() {
        top.weights___05Fvalid = 0;
        top.activations___05Fvalid = 0;
        top.results___05Fready = 0;
        top.rst = 1;
        top.clk = 0;
        top.eval();
        edge();
        edge();
        top.rst = 0;
        top.eval();
    }
};

// Beats that wait for their turn: each is offered gaps[i] cycles after the transfer before it.
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

}  // namespace

extern "C" {

void *bitweft_open() { return new Device; }
void bitweft_close(void *handle) { delete static_cast<Device *>(handle); }
uint64_t bitweft_weight_bytes() { return sizeof(Vtop{}.weights___05Fpayload); }
uint64_t bitweft_activation_bytes() { return sizeof(Vtop{}.activations___05Fpayload); }
uint64_t bitweft_result_bytes() { return sizeof(Vtop{}.results___05Fpayload); }

// Resets the device, then streams weights and activations in and `wanted` results out.
// ready: consumer readiness per cycle, repeated. accepted_*[i], emitted[i]: the cycle of each
// transfer. Returns the number of results received, which is below `wanted` when `limit` cycles
// were not enough.
uint64_t bitweft_run(void *handle, const uint8_t *weights, uint64_t weight_beats,
                     const int64_t *weight_gaps, const uint8_t *activations,
                     uint64_t activation_beats, const int64_t *activation_gaps,
                     const uint8_t *ready, uint64_t period, uint8_t *results, uint64_t wanted,
                     int64_t *accepted_weights, int64_t *accepted_activations, int64_t *emitted,
                     int64_t limit) {
    Device &device = *static_cast<Device *>(handle);
    Vtop &top = device.top;
    const uint64_t out = sizeof(top.results___05Fpayload);
    device.reset();
    Producer left(activations, activation_beats, activation_gaps, accepted_activations);
    Producer right(weights, weight_beats, weight_gaps, accepted_weights);
    uint64_t received = 0;
    for (int64_t cycle = 0; cycle < limit && received < wanted; ++cycle) {
        const bool offers_a =
            left.offer(cycle, top.activations___05Fvalid, top.activations___05Fpayload);
        const bool offers_b = right.offer(cycle, top.weights___05Fvalid, top.weights___05Fpayload);
        top.results___05Fready = period ? ready[cycle % period] : 1;
        device.settle();
        if (top.results___05Fvalid && top.results___05Fready) {
            std::memcpy(results + received * out, &top.results___05Fpayload, out);
            emitted[received++] = cycle;
        }
        if (offers_a && top.activations___05Fready) left.transferred(cycle);
        if (offers_b && top.weights___05Fready) right.transferred(cycle);
        device.edge();
    }
    return received;
}

}  // extern "C"
