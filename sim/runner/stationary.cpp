// Drives a weight-stationary engine, two operand streams and one of results, many cycles per call.
// Compiled together with the Verilated model; called through ctypes.

#include <cstdint>
#include <cstring>

#include "Vtop.h"
#include "verilated.h"
#include "streams.h"

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
    Producer left(activations, activation_beats, activation_gaps, accepted_activations);
    Producer right(weights, weight_beats, weight_gaps, accepted_weights);
    Consumer consumer{ready, period, results, emitted};
    top.weights___05Fvalid = 0;
    top.activations___05Fvalid = 0;
    top.results___05Fready = 0;
    device.reset();
    for (int64_t cycle = 0; cycle < limit && consumer.received < wanted; ++cycle) {
        const bool offers_a =
            left.offer(cycle, top.activations___05Fvalid, top.activations___05Fpayload);
        const bool offers_b = right.offer(cycle, top.weights___05Fvalid, top.weights___05Fpayload);
        top.results___05Fready = consumer.is_ready(cycle);
        device.settle();
        if (top.results___05Fvalid && top.results___05Fready)
            consumer.take(cycle, top.results___05Fpayload);
        if (offers_a && top.activations___05Fready) left.transferred(cycle);
        if (offers_b && top.weights___05Fready) right.transferred(cycle);
        device.edge();
    }
    return consumer.received;
}

}  // extern "C"
