// Drives one component with an operand and a result stream, many cycles per call.
// Compiled together with the Verilated model; called through ctypes.

#include <cstdint>
#include <cstring>

#include "Vtop.h"
#include "verilated.h"
#include "streams.h"

extern "C" {

void *bitweft_open() { return new Device; }
void bitweft_close(void *handle) { delete static_cast<Device *>(handle); }
uint64_t bitweft_operand_bytes() { return sizeof(Vtop{}.operands___05Fpayload); }
uint64_t bitweft_result_bytes() { return sizeof(Vtop{}.results___05Fpayload); }

// Resets the device, then streams `beats` operands in and `wanted` results out.
// gaps[i]: idle cycles before beat i is offered. ready: consumer readiness per cycle, repeated.
// accepted[i], emitted[i]: the cycle of each transfer. Returns the number of results received,
// which is below `wanted` when `limit` cycles were not enough.
uint64_t bitweft_run(void *handle, const uint8_t *operands, uint64_t beats, const int64_t *gaps,
                     const uint8_t *ready, uint64_t period, uint8_t *results, uint64_t wanted,
                     int64_t *accepted, int64_t *emitted, int64_t limit) {
    Device &device = *static_cast<Device *>(handle);
    Vtop &top = device.top;
    Producer producer(operands, beats, gaps, accepted);
    Consumer consumer{ready, period, results, emitted};
    top.operands___05Fvalid = 0;
    top.results___05Fready = 0;
    device.reset();
    for (int64_t cycle = 0; cycle < limit && consumer.received < wanted; ++cycle) {
        const bool offers =
            producer.offer(cycle, top.operands___05Fvalid, top.operands___05Fpayload);
        top.results___05Fready = consumer.is_ready(cycle);
        device.settle();
        if (top.results___05Fvalid && top.results___05Fready)
            consumer.take(cycle, top.results___05Fpayload);
        if (offers && top.operands___05Fready) producer.transferred(cycle);
        device.edge();
    }
    return consumer.received;
}

}  // extern "C"
