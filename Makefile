# Programs in build/. `make`, `make check`, `make demo`, `make bench`, `make lab`, `make install DESTDIR= PREFIX=`.
B       ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= gcc
OPT     ?= -O2 -g

pkg      = $(shell pkg-config $(1) $(2) 2>/dev/null)
CFLAGS  ?=
override CFLAGS += -std=gnu17 $(OPT) -Iinclude -I. -D_GNU_SOURCE -DZT_VERSION=\"$(VERSION)\" -fPIE -pthread \
	-Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Wvla -Wformat=2 -Werror \
	-D_FORTIFY_SOURCE=2 -fstack-protector-strong -ffunction-sections -MMD -MP
override LDFLAGS += -pie -pthread -Wl,-z,relro,-z,now,-z,noexecstack,--gc-sections,--as-needed
VERSION := $(shell cat VERSION 2>/dev/null || echo 0.1.0)

# V=1 shows the commands.
Q        = $(if $(V),,@)
say      = @$(if $(V),:,echo " ")

all: $(B)/ztcontroller $(B)/ztctl $(B)/ztnode

src      = $(sort $(wildcard $(addsuffix /*.c,$(1))))
obj      = $(patsubst %.c,$(B)/obj/%.o,$(1))

# Archives. Pure ones (no system calls, clocks, randomness: scripts/check-layers holds it) and shells.
BASE      := $(call src,common/base)
PROTO     := $(call src,common/proto)
SYS       := $(call src,common/sys)
C_PURE    := $(call src,controller/model controller/policy controller/netmap)
C_STORE   := $(call src,controller/store)
C_HTTP    := $(call src,controller/http)
C_API     := $(call src,controller/api controller/json) $(filter-out controller/main.c,$(call src,controller))
CTL       := $(call src,controller/ctl)
N_CORE    := $(call src,ztnode/core)
N_KERN    := $(call src,ztnode/kern)
N_NET     := $(call src,ztnode/net)
N_POSTURE := $(call src,ztnode/posture)
N_CLI     := $(filter-out ztnode/cli/main.c,$(call src,ztnode/cli))

archives := base proto sys c_pure c_store c_http c_api n_core n_kern n_net n_posture n_cli
base_src := $(BASE)
proto_src := $(PROTO)
sys_src := $(SYS)
c_pure_src := $(C_PURE)
c_store_src := $(C_STORE)
c_http_src := $(C_HTTP)
c_api_src := $(C_API)
n_core_src := $(N_CORE)
n_kern_src := $(N_KERN)
n_net_src := $(N_NET)
n_posture_src := $(N_POSTURE)
n_cli_src := $(N_CLI)

define archive
$(B)/lib/$(1).a: $(call obj,$($(1)_src)) Makefile
	@mkdir -p $$(@D) && rm -f $$@ && ar rcsD $$@ $$(filter %.o,$$^)
endef
$(foreach a,$(archives),$(eval $(call archive,$(a))))

common     := $(B)/lib/sys.a $(B)/lib/proto.a $(B)/lib/base.a
controller := $(addprefix $(B)/lib/,c_api.a c_http.a c_store.a c_pure.a)
ztnode     := $(addprefix $(B)/lib/,n_cli.a n_net.a n_kern.a n_posture.a n_core.a)

LIBS_COMMON     = $(call pkg,--libs,libsodium) -lcap-ng -lseccomp
LIBS_CONTROLLER = $(call pkg,--libs,libmicrohttpd gnutls jansson inih sqlite3 libmaxminddb libsystemd)
LIBS_CTL        = $(call pkg,--libs,libcurl jansson smartcols)
LIBS_NODE       = $(call pkg,--libs,jansson inih libmnl libnftnl libsystemd)

$(B)/ztcontroller: $(B)/obj/controller/main.o $(controller) $(common)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(controller) $(common) -Wl,--end-group $(LIBS_CONTROLLER) $(LIBS_COMMON)
$(B)/ztctl: $(call obj,$(CTL)) $(common)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_CTL) $(LIBS_COMMON)
$(B)/ztnode: $(B)/obj/ztnode/cli/main.o $(ztnode) $(common)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(ztnode) $(common) -Wl,--end-group $(LIBS_NODE) $(LIBS_COMMON)

$(B)/obj/controller/store/migrations.o: $(wildcard controller/store/migrations/*.sql)
$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(say) CC $@
	$(Q)$(CC) $(CFLAGS) -c -o $@ $<

# Tests: tests/unit mirrors the tree; each file is one cmocka program linked against all archives it may need.
UNIT := $(patsubst %.c,$(B)/%,$(call src,tests/unit tests/shell))
FUZZ := $(patsubst %.c,$(B)/%,$(call src,tests/fuzz))
# Memory that ends and clocks that are set when the test says so (tests/unit/failing_memory.h).
$(B)/tests/unit/model_memory_test: override LDFLAGS += $(foreach f,malloc calloc realloc reallocarray,-Wl,--wrap=$(f))
$(B)/tests/shell/app_policy_test: override LDFLAGS += $(foreach f,engine_put clock_now roll_step invariants_step,-Wl,--wrap=$(f))
$(B)/tests/unit/policy_oracle_test: $(call obj,$(call src,tests/unit/policy_oracle))
$(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $(controller) $(ztnode) $(common)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(controller) $(ztnode) $(common) -Wl,--end-group \
		$(LIBS_CONTROLLER) $(LIBS_NODE) $(LIBS_CTL) $(LIBS_COMMON) $(call pkg,--libs,cmocka)
$(B)/tests/shell/%: $(B)/obj/tests/shell/%.o $(controller) $(ztnode) $(common)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(controller) $(ztnode) $(common) -Wl,--end-group \
		$(LIBS_CONTROLLER) $(LIBS_NODE) $(LIBS_CTL) $(LIBS_COMMON) $(call pkg,--libs,cmocka)
# Fuzz targets: LLVMFuzzerTestOneInput in tests/fuzz/NAME_fuzz.c; here linked with a replay main over tests/fuzz/corpus/NAME.
$(B)/tests/fuzz/%: $(B)/obj/tests/fuzz/%.o $(B)/obj/tests/fuzz/replay/main.o $(controller) $(ztnode) $(common)
	@mkdir -p $(@D)
	@$(CC) $(LDFLAGS) -o $@ $< $(B)/obj/tests/fuzz/replay/main.o -Wl,--start-group $(controller) $(ztnode) $(common) -Wl,--end-group \
		$(LIBS_CONTROLLER) $(LIBS_NODE) $(LIBS_COMMON)

# What the lab's scenarios use: one small program, one preloaded library, the test of the kernel shells.
$(B)/tests/lab/tool: $(call obj,$(call src,tests/lab/tool))
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^
$(B)/tests/lab/shift_clock.so: tests/lab/preload/shift_clock.c
	@mkdir -p $(@D)
	$(Q)$(CC) -shared -fPIC -O2 -o $@ $<
$(B)/tests/lab/kernel_test: $(call obj,$(wildcard tests/lab/kernel_*.c)) $(ztnode) $(common)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(ztnode) $(common) -Wl,--end-group $(LIBS_NODE) $(LIBS_COMMON)
$(B)/tests/lab/hostile: $(call obj,tests/lab/hostile.c) $(ztnode) $(common)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(ztnode) $(common) -Wl,--end-group $(LIBS_NODE) \
		$(LIBS_COMMON) $(call pkg,--libs,cmocka)
LAB := $(B)/tests/lab/hostile $(B)/tests/lab/tool $(B)/tests/lab/shift_clock.so $(B)/tests/lab/kernel_test

# Benchmarks, for scripts/bench.
$(B)/tests/bench/can: $(B)/obj/tests/bench/can.o $(controller) $(common)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(controller) $(common) -Wl,--end-group $(LIBS_CONTROLLER) $(LIBS_COMMON)
$(B)/tests/bench/policy_bench: $(B)/obj/tests/bench/policy_bench.o $(B)/lib/c_pure.a $(common)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS_COMMON)
$(B)/tests/bench/%: $(B)/obj/tests/bench/%.o $(ztnode) $(common)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(ztnode) $(common) -Wl,--end-group $(LIBS_NODE) \
		$(call pkg,--libs,gnutls) $(LIBS_COMMON)

tests: $(UNIT) $(FUZZ) $(LAB)

check:
	@scripts/setup test
	@scripts/check
demo:
	@scripts/setup test
	@$(MAKE) --no-print-directory -j2 all
	@scripts/demo
bench:
	@scripts/setup test
	@$(MAKE) --no-print-directory -j2 all
	@scripts/bench
lab:
	@scripts/setup test
	@scripts/lab-kernel
format:
	clang-format -i $$(git ls-files '*.c' '*.h')
clean:
	rm -rf $(B)

# Installation. What is put where is all here; tests/shell/install_test.sh and units_test.sh hold it.
bindir    = $(PREFIX)/bin
unitdir   = $(PREFIX)/lib/systemd/system
mandir    = $(PREFIX)/share/man
units     = ztcontroller.service ztnode.service ztnode.socket ztnode-kern.service ztnode-kern.socket
installed = $(bindir)/ztcontroller $(bindir)/ztctl $(bindir)/ztnode \
	$(addprefix $(unitdir)/,$(units)) $(PREFIX)/lib/sysusers.d/ztnode.conf \
	$(mandir)/man8/ztcontroller.8 $(mandir)/man8/ztnode.8 $(mandir)/man1/ztctl.1 \
	$(mandir)/man5/controller.ini.5 $(mandir)/man5/ztnode.ini.5 \
	$(addprefix $(PREFIX)/share/bash-completion/completions/,ztcontroller ztctl ztnode) \
	$(addprefix $(PREFIX)/share/doc/ztnode/examples/,policy.ini controller.ini ztnode.ini)
to        = $(DESTDIR)$(PREFIX)
install: all
	install -d $(addprefix $(DESTDIR),$(sort $(dir $(installed))))
	install -m 0755 $(B)/ztcontroller $(B)/ztctl $(B)/ztnode $(DESTDIR)$(bindir)
	for u in $(units); do sed 's|@bindir@|$(bindir)|' packaging/$$u | \
		install -m 0644 /dev/stdin $(DESTDIR)$(unitdir)/$$u; done
	install -m 0644 packaging/sysusers.conf $(to)/lib/sysusers.d/ztnode.conf
	for n in 1 5 8; do install -m 0644 packaging/man/*.$$n $(DESTDIR)$(mandir)/man$$n; done
	install -m 0644 packaging/completion/ztcontroller $(to)/share/bash-completion/completions
	for p in ztctl ztnode; do $(B)/$$p completion bash | \
		install -m 0644 /dev/stdin $(to)/share/bash-completion/completions/$$p; done
	install -m 0644 packaging/examples/*.ini $(to)/share/doc/ztnode/examples
uninstall:
	rm -f $(addprefix $(DESTDIR),$(installed))

.PHONY: all tests check demo bench lab format clean install uninstall
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
