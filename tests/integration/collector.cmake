# waft-collectord as a whole; each function of test_collectord.py is one test.
foreach(name kill resend drain drain_of_full sigterm_unacknowledged no_space second visible move tail
    tail_slow deadline sockets default_places tcp reload
    options http service inbox inbox_locked large_answers)
  waft_integration_test(collectord_${name}
    COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/integration/collector/test_collectord.py ${name}
    TIMEOUT 120)
endforeach()

# The same with batches that are looked at beside the loop.
foreach(name kill resend drain visible)
  waft_integration_test(collectord_${name}_decoders
    COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/integration/collector/test_collectord.py ${name}
    ENVIRONMENT "WAFT_COLLECTORD_OPTIONS=--decoders 2"
    TIMEOUT 120)
endforeach()

# Each function of test_protocol.py is one test.
foreach(name sequence hostile descriptors idle)
  waft_integration_test(collectord_${name}
    COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/integration/collector/test_protocol.py ${name}
    TIMEOUT 120)
endforeach()

# Damaged files; each function of test_damage.py is one test.
foreach(name part found cut foreign bad_lines)
  waft_integration_test(damage_${name}
    COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/integration/collector/test_damage.py ${name}
    TIMEOUT 120)
endforeach()

# Agents and gateways; each function of test_forward.py is one test.
foreach(name one ledger kills kills_tls comes_again partitions failover outage rights)
  waft_integration_test(forward_${name}
    COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/integration/collector/test_forward.py ${name}
    TIMEOUT 120)
endforeach()

# The Admin service; each function of test_admin.py is one test.
foreach(name flush flush_full reload log_level clients rights waftctl)
  waft_integration_test(admin_${name}
    COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/integration/collector/test_admin.py ${name}
    TIMEOUT 120)
endforeach()
