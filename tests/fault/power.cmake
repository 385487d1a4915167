waft_fault_program(power waft_test_world PkgConfig::CMOCKA)
waft_fault(power
  TAKES 300
  ABOUT "power loss: recorded writes, syncs, renames and truncations in every legal state"
  COMMAND $<TARGET_FILE:fault_power>
  DEPENDS fault_power)
waft_fault(power-ext4
  TAKES 70
  ABOUT "power loss: ext4 shut down without flushing at each call that changes a file"
  COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/power_ext4.py
  DEPENDS fault_clock_shim
  TIMEOUT 1800
  LONG_ONLY)
