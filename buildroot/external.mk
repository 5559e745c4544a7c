include $(sort $(wildcard $(BR2_EXTERNAL_RETROWAVES_PATH)/package/*/*.mk))
