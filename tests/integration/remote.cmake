# The collector as other machines see it; each function of test_remote.py is one test.
foreach(name good certificates versions garbage slow flood flood_at_once flood_plain tokens rights
    rotation removed bad_files needs replay loopback quotas fair)
  waft_integration_test(remote_${name}
    COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/integration/collector/test_remote.py ${name}
    TIMEOUT 120)
endforeach()

# libwaft from another machine, with waft-load's own count. The module is loaded without the
# sanitizers' libraries, which would have to come before it.
add_library(waft_held_names MODULE ${WAFT_TESTS_DIR}/support/held_names.c)
set_target_properties(waft_held_names PROPERTIES PREFIX "" COMPILE_OPTIONS "-fno-sanitize=all"
  LINK_OPTIONS "-fno-sanitize=all")
foreach(name good exit refused server_name tokens rotation endpoints module waftctl hostile held)
  waft_integration_test(remote_client_${name}
    COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/integration/collector/test_remote_client.py ${name}
    TIMEOUT 120)
endforeach()

# Hostile or dying others; each function of test_peers.py is one test.
foreach(name gateway waftctl forged forged_agent tls_kills)
  waft_integration_test(peers_${name}
    COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/integration/collector/test_peers.py ${name}
    TIMEOUT 120)
endforeach()
