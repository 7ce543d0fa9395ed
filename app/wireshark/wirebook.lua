-- Wireshark dissector of wirebook's wire format, version 1 (docs/wire-format.md has the offsets).
--
--   wireshark -X lua_script:app/wireshark/wirebook.lua
--   tshark -X lua_script:app/wireshark/wirebook.lua -r FILE -Y wirebook
--
-- Packets are found by their magic on any UDP port; a port can also be given with "Decode As".

local HEADER_BYTES = 40
local RECORD_BYTES = 48
local MAGIC = "WBK1"

local BID, ASK, CLEAR, LIVE, STALE, HEARTBEAT, DEFINE, SPAN = 0, 1, 2, 3, 4, 5, 6, 7

local channels = { [0] = "incremental", [1] = "snapshot" }
local kinds = {
    [BID] = "BID", [ASK] = "ASK", [CLEAR] = "CLEAR", [LIVE] = "LIVE",
    [STALE] = "STALE", [HEARTBEAT] = "HEARTBEAT", [DEFINE] = "DEFINE",
    [SPAN] = "SPAN",
}
local reasons = {
    [1] = "gap", [2] = "disconnected", [3] = "checksum", [4] = "silence",
    [5] = "resync", [6] = "pool exhausted", [7] = "too slow", [8] = "stopped",
    [9] = "unreadable", [10] = "crossed", [11] = "out of span", [12] = "contested",
}

local wirebook = Proto("wirebook", "wirebook market data")

local f = wirebook.fields
f.magic = ProtoField.string("wirebook.magic", "Magic")
f.version = ProtoField.uint8("wirebook.version", "Version")
f.channel = ProtoField.uint8("wirebook.channel", "Channel", base.DEC, channels)
f.count = ProtoField.uint16("wirebook.count", "Records")
f.venue = ProtoField.uint16("wirebook.venue", "Venue")
f.stream = ProtoField.uint16("wirebook.stream", "Stream")
f.epoch = ProtoField.uint32("wirebook.epoch", "Epoch (s)")
f.sequence = ProtoField.uint64("wirebook.sequence", "Sequence")
f.send_ns = ProtoField.uint64("wirebook.send_ns", "Send time (ns)")
f.flags = ProtoField.uint32("wirebook.flags", "Flags", base.HEX)
f.nonce = ProtoField.uint32("wirebook.nonce", "Nonce", base.HEX)

f.symbol = ProtoField.uint32("wirebook.record.symbol", "Symbol")
f.kind = ProtoField.uint8("wirebook.record.kind", "Kind", base.DEC, kinds)
f.record_flags = ProtoField.uint8("wirebook.record.flags", "Flags", base.HEX)
f.last = ProtoField.bool("wirebook.record.last", "Last of its event", 8, nil, 0x01)
f.snapshot = ProtoField.bool("wirebook.record.snapshot", "Part of a snapshot", 8, nil, 0x02)
f.aux = ProtoField.uint16("wirebook.record.aux", "Aux")
f.reason = ProtoField.uint16("wirebook.record.reason", "Stale reason", base.DEC, reasons)
f.price_decimals = ProtoField.uint8("wirebook.record.price_decimals", "Price decimals")
f.quantity_decimals = ProtoField.uint8("wirebook.record.quantity_decimals", "Quantity decimals")
f.name = ProtoField.stringz("wirebook.record.name", "Instrument")
f.update_id = ProtoField.uint64("wirebook.record.update_id", "Update id")
f.price = ProtoField.int64("wirebook.record.price", "Price (scaled)")
f.quantity = ProtoField.int64("wirebook.record.quantity", "Quantity (scaled)")
f.exchange_ns = ProtoField.uint64("wirebook.record.exchange_ns", "Exchange time (ns)")
f.receive_ns = ProtoField.uint64("wirebook.record.receive_ns", "Receive time (ns)")

local truncated = ProtoExpert.new(
    "wirebook.truncated", "Fewer bytes than the header promises", expert.group.MALFORMED, expert.severity.ERROR)
local unknown_version = ProtoExpert.new(
    "wirebook.unknown_version", "Unknown version", expert.group.UNDECODED, expert.severity.WARN)
wirebook.experts = { truncated, unknown_version }

local function dissect_record(buf, tree, index)
    local kind = buf(4, 1):le_uint()
    local symbol = buf(0, 4):le_uint()
    local item = tree:add(buf(), string.format("Record %d: %s symbol %d", index, kinds[kind] or "?", symbol))
    item:add_le(f.symbol, buf(0, 4))
    item:add(f.kind, buf(4, 1))
    local flags = item:add(f.record_flags, buf(5, 1))
    flags:add(f.last, buf(5, 1))
    flags:add(f.snapshot, buf(5, 1))
    if kind == STALE then
        item:add_le(f.reason, buf(6, 2))
    elseif kind == DEFINE then
        item:add(f.price_decimals, buf(6, 1))
        item:add(f.quantity_decimals, buf(7, 1))
        item:add(f.name, buf(8, 40))
        return
    else
        item:add_le(f.aux, buf(6, 2))
    end
    item:add_le(f.update_id, buf(8, 8))
    item:add_le(f.price, buf(16, 8))
    item:add_le(f.quantity, buf(24, 8))
    item:add_le(f.exchange_ns, buf(32, 8))
    item:add_le(f.receive_ns, buf(40, 8))
end

function wirebook.dissector(buf, pinfo, root)
    if buf:len() < HEADER_BYTES or buf(0, 4):string() ~= MAGIC then
        return 0
    end
    pinfo.cols.protocol = "wirebook"
    local count = buf(6, 2):le_uint()
    local tree = root:add(wirebook, buf())
    tree:add(f.magic, buf(0, 4))
    local version = tree:add(f.version, buf(4, 1))
    tree:add(f.channel, buf(5, 1))
    tree:add_le(f.count, buf(6, 2))
    tree:add_le(f.venue, buf(8, 2))
    tree:add_le(f.stream, buf(10, 2))
    tree:add_le(f.epoch, buf(12, 4))
    tree:add_le(f.sequence, buf(16, 8))
    tree:add_le(f.send_ns, buf(24, 8))
    tree:add_le(f.flags, buf(32, 4))
    tree:add_le(f.nonce, buf(36, 4))
    pinfo.cols.info = string.format(
        "%s venue %d stream %d seq %s, %d records",
        channels[buf(5, 1):le_uint()] or "?", buf(8, 2):le_uint(), buf(10, 2):le_uint(),
        tostring(buf(16, 8):le_uint64()), count)
    if buf(4, 1):le_uint() ~= 1 then
        version:add_proto_expert_info(unknown_version)
        return buf:len()
    end
    for index = 0, count - 1 do
        local offset = HEADER_BYTES + index * RECORD_BYTES
        if offset + RECORD_BYTES > buf:len() then
            tree:add_proto_expert_info(truncated)
            break
        end
        dissect_record(buf(offset, RECORD_BYTES):tvb(), tree, index)
    end
    return buf:len()
end

local function by_magic(buf, pinfo, root)
    if buf:len() < HEADER_BYTES or buf(0, 4):string() ~= MAGIC then
        return false
    end
    wirebook.dissector(buf, pinfo, root)
    return true
end

wirebook:register_heuristic("udp", by_magic)
DissectorTable.get("udp.port"):add_for_decode_as(wirebook)
