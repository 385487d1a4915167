# The wire format's parsers: proto/.
waft_fuzzer(batch waft_test_batches)
waft_fuzzer(frame waft_proto)
waft_fuzzer(export waft_proto)
waft_fuzzer(rpc waft_proto_rpc)
waft_fuzzer(ids waft_proto)
waft_fuzzer(json_check waft_proto)
