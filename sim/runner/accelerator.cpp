// An accelerator and the memory on its bus, many cycles per call.
// Compiled together with the Verilated model; called through ctypes.

#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

double sc_time_stamp() { return 0; }

namespace {

struct Burst {
    uint64_t address;
    uint32_t beats;
    int64_t ready_at;
    bool error;
};

// Writes the signals of the cycles between the ends of two computations; time 0 is the first.
struct Waves {
    bool on = false, armed = false;
    uint32_t first = 0, last = 0;
    int64_t from = -1, to = -1;  // cycles that are in the file; -1 when none is
#if VM_TRACE
    VerilatedVcdC file;

    // Before a rising edge at which `computes` are finished, and after it.
    void before(int64_t cycle, uint32_t computes) {
        if (armed && !on && computes >= first && computes < last) {
            on = true;
            from = cycle;
        }
        if (on) file.dump(static_cast<uint64_t>(10 * (cycle - from)));
    }
    void after(int64_t cycle, uint32_t computes) {
        if (!on) return;
        file.dump(static_cast<uint64_t>(10 * (cycle - from) + 5));
        to = cycle + 1;
        if (computes >= last) stop();
    }
    void stop() {
        if (armed) file.close();
        armed = on = false;
    }
    ~Waves() { stop(); }
#else
    void before(int64_t, uint32_t) {}
    void after(int64_t, uint32_t) {}
#endif
};

struct Machine {
    VerilatedContext context;
    Vtop top{&context};
    Waves waves;
    std::vector<uint8_t> memory;
    int64_t latency, interval;
    uint32_t stall_per_mille;
    uint64_t random;
    int64_t fail_burst;  // the burst of this number answers with an error; -1 for none
    int64_t cycle = 0, bursts = 0;
    int64_t next_read = 0, next_write = 0;
    std::deque<Burst> reads, writes, responses;
    bool held_read_pending = false, held_response_pending = false;
    uint32_t computes = 0;
    std::vector<int64_t> finishes;  // cycles before which each computation was finished
    static constexpr uint64_t word = sizeof(Vtop{}.m_axi_rdata);
    static constexpr size_t queued = 16;

    // xorshift: stalls depend on the seed alone.
    bool stall() {
        if (!stall_per_mille) return false;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        return random % 1000 < stall_per_mille;
    }

    void tick() {
        top.m_axi_arready = reads.size() < queued && !stall();
        top.m_axi_awready = writes.size() < queued && !stall();
        top.m_axi_wready = !writes.empty() && cycle >= next_write && !stall();
        // AXI keeps what it has offered: a stall may delay an offer, not take it back.
        const bool read = !reads.empty() && cycle >= reads.front().ready_at &&
                          cycle >= next_read && (held_read_pending || !stall());
        top.m_axi_rvalid = read;
        if (read) {
            const Burst &b = reads.front();
            if (b.address + word <= memory.size())
                std::memcpy(&top.m_axi_rdata, &memory[b.address], word);
            top.m_axi_rlast = b.beats == 1;
            top.m_axi_rresp = b.error || b.address + word > memory.size() ? 2 : 0;
        }
        const bool respond = !responses.empty() && cycle >= responses.front().ready_at &&
                             (held_response_pending || !stall());
        top.m_axi_bvalid = respond;
        if (respond) top.m_axi_bresp = responses.front().error ? 2 : 0;
        top.eval();
        waves.before(cycle, computes);

        if (top.m_axi_arvalid && top.m_axi_arready)
            reads.push_back({top.m_axi_araddr, top.m_axi_arlen + 1u, cycle + latency,
                             bursts++ == fail_burst});
        if (top.m_axi_wvalid && top.m_axi_wready) {
            Burst &b = writes.front();
            if (b.address + word <= memory.size())
                std::memcpy(&memory[b.address], &top.m_axi_wdata, word);
            else
                b.error = true;
            b.address += word;
            next_write = cycle + interval;
            if (--b.beats == 0) {
                b.ready_at = cycle + latency;
                responses.push_back(b);
                writes.pop_front();
            }
        }
        if (top.m_axi_awvalid && top.m_axi_awready)
            writes.push_back({top.m_axi_awaddr, top.m_axi_awlen + 1u, 0, bursts++ == fail_burst});
        held_read_pending = read && !top.m_axi_rready;
        if (read && top.m_axi_rready) {
            Burst &b = reads.front();
            b.address += word;
            next_read = cycle + interval;
            if (--b.beats == 0) reads.pop_front();
        }
        held_response_pending = respond && !top.m_axi_bready;
        if (respond && top.m_axi_bready) responses.pop_front();

        top.clk = 1;
        top.eval();
        waves.after(cycle, top.computes_finished);
        top.clk = 0;
        top.eval();
        ++cycle;
        if (top.computes_finished != computes) {
            computes = top.computes_finished;
            if (computes) finishes.push_back(cycle);  // 0: a new run has begun
        }
    }
};

}  // namespace

extern "C" {

void *bitweft_open(uint64_t bytes, int64_t latency, int64_t interval, uint32_t stall_per_mille,
                   uint64_t seed, int64_t fail_burst) {
    auto *m = new Machine;
#if VM_TRACE
    m->context.traceEverOn(true);
    m->top.trace(&m->waves.file, 99);
    m->waves.file.set_time_unit("1ns");
    m->waves.file.set_time_resolution("1ns");
#endif
    m->memory.resize(bytes);
    m->latency = latency;
    m->interval = interval;
    m->stall_per_mille = stall_per_mille;
    m->random = seed * 0x9E3779B97F4A7C15ull + 1;
    m->fail_burst = fail_burst;
    m->top.rst = 1;
    m->top.clk = 0;
    m->tick();
    m->tick();
    m->top.rst = 0;
    m->cycle = 0;
    return m;
}
void bitweft_close(void *handle) { delete static_cast<Machine *>(handle); }
// Also drops what is under way on the bus.
void bitweft_reset(void *handle) {
    auto &m = *static_cast<Machine *>(handle);
    m.top.rst = 1;
    m.tick();
    m.tick();
    m.top.rst = 0;
    m.reads.clear();
    m.writes.clear();
    m.responses.clear();
    m.held_read_pending = m.held_response_pending = false;
}
uint8_t *bitweft_memory(void *handle) { return static_cast<Machine *>(handle)->memory.data(); }
void bitweft_fail(void *handle, int64_t burst) {
    auto &m = *static_cast<Machine *>(handle);
    m.fail_burst = burst < 0 ? -1 : m.bursts + burst;
}

// Both return the response code of the transaction, or -1 when it did not end in 1000 cycles.
int32_t bitweft_write(void *handle, uint32_t address, uint32_t value) {
    auto &m = *static_cast<Machine *>(handle);
    Vtop &top = m.top;
    top.s_axi_awaddr = address;
    top.s_axi_wdata = value;
    top.s_axi_wstrb = 15;
    top.s_axi_awvalid = top.s_axi_wvalid = 1;
    top.s_axi_bready = 1;
    bool sent = false;
    for (int n = 0; n < 1000; ++n) {
        top.eval();
        const bool take = !sent && top.s_axi_awready && top.s_axi_wready;
        const bool done = top.s_axi_bvalid;
        const int32_t code = top.s_axi_bresp;
        m.tick();
        if (take) {
            sent = true;
            top.s_axi_awvalid = top.s_axi_wvalid = 0;
        }
        if (done) return code;
    }
    return -1;
}
int32_t bitweft_read(void *handle, uint32_t address, uint32_t *value) {
    auto &m = *static_cast<Machine *>(handle);
    Vtop &top = m.top;
    top.s_axi_araddr = address;
    top.s_axi_arvalid = 1;
    top.s_axi_rready = 1;
    bool sent = false;
    for (int n = 0; n < 1000; ++n) {
        top.eval();
        const bool take = !sent && top.s_axi_arready;
        const bool done = top.s_axi_rvalid;
        const int32_t code = top.s_axi_rresp;
        *value = top.s_axi_rdata;
        m.tick();
        if (take) {
            sent = true;
            top.s_axi_arvalid = 0;
        }
        if (done) return code;
    }
    return -1;
}

int64_t bitweft_cycle(void *handle) { return static_cast<Machine *>(handle)->cycle; }
// Cycles at which computations finished since the last call of bitweft_forget.
int64_t bitweft_finishes(void *handle, const int64_t **values) {
    auto &m = *static_cast<Machine *>(handle);
    *values = m.finishes.data();
    return m.finishes.size();
}
void bitweft_forget(void *handle) { static_cast<Machine *>(handle)->finishes.clear(); }

// Whether the next cycles will be written, once `first` computations are finished, until `last` are.
int32_t bitweft_trace(void *handle, const char *path, uint32_t first, uint32_t last) {
#if VM_TRACE
    auto &m = *static_cast<Machine *>(handle);
    m.waves.file.open(path);
    m.waves.armed = m.waves.file.isOpen();
    m.waves.first = first;
    m.waves.last = last;
    return m.waves.armed;
#else
    return 0;
#endif
}
// The cycles that were written.
void bitweft_traced(void *handle, int64_t *from, int64_t *to) {
    const auto &waves = static_cast<Machine *>(handle)->waves;
    *from = waves.from;
    *to = waves.to;
}

// Runs until the interrupt or for `limit` cycles; returns the cycles that passed.
int64_t bitweft_wait(void *handle, int64_t limit) {
    auto &m = *static_cast<Machine *>(handle);
    int64_t passed = 0;
    while (passed < limit && !m.top.irq) {
        m.tick();
        ++passed;
    }
    return passed;
}

}  // extern "C"
