package peers.hapi;

import ca.uhn.fhir.batch2.api.IJobMaintenanceService;
import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.batch2.jobs.export.BulkDataExportProvider;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.binary.api.IBinaryStorageSvc;
import ca.uhn.fhir.jpa.binary.svc.NullBinaryStorageSvcImpl;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirH2Dialect;
import ca.uhn.fhir.jpa.provider.IJpaSystemProvider;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.jpa.subscription.match.config.SubscriptionProcessorConfig;
import ca.uhn.fhir.jpa.subscription.match.deliver.email.IEmailSender;
import ca.uhn.fhir.jpa.subscription.submit.config.SubscriptionSubmitterConfig;
import ca.uhn.fhir.jpa.topic.R4SubscriptionTopicLoader;
import ca.uhn.fhir.jpa.topic.SubscriptionTopicConfig;
import ca.uhn.fhir.narrative2.NullNarrativeGenerator;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import com.zaxxer.hikari.HikariDataSource;
import jakarta.persistence.EntityManagerFactory;
import java.io.IOException;
import java.io.OutputStream;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import javax.sql.DataSource;
import org.hl7.fhir.dstu2.model.Subscription.SubscriptionChannelType;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.boot.Banner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.ImportAutoConfiguration;
import org.springframework.boot.autoconfigure.web.embedded.EmbeddedWebServerFactoryCustomizerAutoConfiguration;
import org.springframework.boot.autoconfigure.web.servlet.ServletWebServerFactoryAutoConfiguration;
import org.springframework.boot.web.servlet.ServletRegistrationBean;
import org.springframework.boot.web.servlet.context.ServletWebServerApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.core.env.Environment;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;
import org.springframework.transaction.PlatformTransactionManager;

/**
 * A FHIR R4 server for tests: HAPI FHIR JPA on H2, in memory or below {@code --data=FOLDER}, on
 * loopback only.
 *
 * <p>It keeps HAPI's strict defaults (referential integrity, unknown search parameters refused) and
 * adds rest-hook Subscriptions, topics and bulk export. It calls nobody but the endpoints of those Subscriptions: no
 * terminology server, no packages, no validation. Every search is run anew, never answered from an
 * earlier result.
 */
@SpringBootConfiguration(proxyBeanMethods = false)
@ImportAutoConfiguration({
  EmbeddedWebServerFactoryCustomizerAutoConfiguration.class,
  ServletWebServerFactoryAutoConfiguration.class
})
@Import({
  JpaR4Config.class,
  HapiJpaConfig.class,
  JpaBatch2Config.class,
  Batch2JobsConfig.class,
  SubscriptionSubmitterConfig.class,
  SubscriptionProcessorConfig.class,
  SubscriptionChannelConfig.class,
  SubscriptionTopicConfig.class,
  ThreadPoolFactoryConfig.class
})
public class HapiServer {

  private static final Map<String, Object> DEFAULTS =
      Map.of(
          "server.address", "127.0.0.1",
          "server.port", "0",
          "server.tomcat.relaxed-query-chars", "|",
          "logging.level.root", "warn",
          "logging.level.org.springframework.context.support", "error",
          "spring.main.allow-circular-references", "true");

  public static void main(String[] args) throws IOException {
    var application = new SpringApplication(HapiServer.class);
    application.setDefaultProperties(DEFAULTS);
    application.setBannerMode(Banner.Mode.OFF);
    var context = (ServletWebServerApplicationContext) application.run(args);
    var jobs = context.getBean(IJobMaintenanceService.class);
    var rounds = Executors.newSingleThreadScheduledExecutor();
    rounds.scheduleWithFixedDelay(() -> further(jobs), 250, 250, TimeUnit.MILLISECONDS);
    var topics = context.getBean(R4SubscriptionTopicLoader.class);
    rounds.scheduleWithFixedDelay(() -> read(topics), 1, 1, TimeUnit.SECONDS);
    System.out.printf("HAPI ready http://127.0.0.1:%d/fhir%n", context.getWebServer().getPort());
    if (List.of(args).contains("--until-eof")) {
      System.in.transferTo(OutputStream.nullOutputStream());
      rounds.shutdownNow();
      System.exit(0); // closes the context; a thread of HAPI's own may not end by itself
    }
  }

  /** An export goes on in steps, and HAPI itself looks once a minute whether the next may begin. */
  private static void further(IJobMaintenanceService jobs) {
    try {
      jobs.runMaintenancePass();
    } catch (RuntimeException notNow) {
      // The database was busy or is closing: the next pass comes soon, or none is needed.
    }
  }

  /** HAPI itself looks once a minute whether there are other topics. */
  private static void read(R4SubscriptionTopicLoader topics) {
    try {
      topics.forceRefresh();
    } catch (RuntimeException notNow) {
      // As above.
    }
  }

  @Bean
  JpaStorageSettings storageSettings() {
    var settings = new JpaStorageSettings();
    settings.setEnforceReferentialIntegrityOnWrite(true);
    settings.setEnforceReferentialIntegrityOnDelete(true);
    settings.setReuseCachedSearchResultsForMillis(null);
    settings.setSchedulingDisabled(true);
    settings.setEnableTaskBulkExportJobExecution(true);
    return settings;
  }

  @Bean
  SubscriptionSettings subscriptionSettings() {
    var settings = new SubscriptionSettings();
    settings.addSupportedSubscriptionType(SubscriptionChannelType.RESTHOOK);
    settings.setSubscriptionIntervalInMs(250); // HAPI itself looks for changes every 5 s
    return settings;
  }

  @Bean
  PartitionSettings partitionSettings() {
    return new PartitionSettings();
  }

  @Bean
  IBinaryStorageSvc binaryStorage() {
    return new NullBinaryStorageSvcImpl();
  }

  /** HAPI's Subscription delivery wants one; e-mail Subscriptions never become active here. */
  @Bean
  IEmailSender emailSender() {
    return email -> {};
  }

  /** In a file every commit is on the disk at once, so that a kill loses nothing that was answered. */
  @Bean
  DataSource dataSource(Environment options) {
    var folder = options.getProperty("data");
    var source = new HikariDataSource();
    source.setJdbcUrl(
        folder == null ? "jdbc:h2:mem:hapi" : "jdbc:h2:file:" + folder + "/hapi;WRITE_DELAY=0");
    source.setMaximumPoolSize(20);
    return source;
  }

  @Bean
  @Primary
  LocalContainerEntityManagerFactoryBean entityManagerFactory(
      ConfigurableListableBeanFactory beans,
      FhirContext fhir,
      JpaStorageSettings settings,
      DataSource source,
      Environment options) {
    var factory = HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, fhir, settings);
    factory.setPersistenceUnitName("hapi");
    factory.setDataSource(source);
    factory.setJpaPropertyMap(
        Map.of(
            "hibernate.dialect", HapiFhirH2Dialect.class.getName(),
            "hibernate.hbm2ddl.auto", options.containsProperty("data") ? "update" : "create-only",
            "hibernate.jdbc.batch_size", "20",
            "hibernate.search.enabled", "false"));
    return factory;
  }

  @Bean
  @Primary
  PlatformTransactionManager transactionManager(EntityManagerFactory factory) {
    return new JpaTransactionManager(factory);
  }

  @Bean
  ServletRegistrationBean<RestfulServer> fhirServlet(
      FhirContext fhir,
      IFhirSystemDao<?, ?> systemDao,
      IJpaSystemProvider systemProvider,
      ResourceProviderFactory resourceProviders,
      BulkDataExportProvider bulkExport,
      DatabaseBackedPagingProvider paging,
      JpaStorageSettings settings,
      ISearchParamRegistry searchParameters,
      IValidationSupport definitions) {
    fhir.setNarrativeGenerator(new NullNarrativeGenerator());
    paging.setDefaultPageSize(20);
    paging.setMaximumPageSize(200);

    var server = new RestfulServer(fhir);
    server.registerProviders(resourceProviders.createProviders());
    server.registerProvider(systemProvider);
    server.registerProvider(bulkExport);
    server.setServerConformanceProvider(
        new JpaCapabilityStatementProvider(
            server, systemDao, settings, searchParameters, definitions));
    server.setPagingProvider(paging);
    server.setDefaultResponseEncoding(EncodingEnum.JSON);

    var servlet = new ServletRegistrationBean<>(server, "/fhir/*");
    servlet.setLoadOnStartup(1);
    return servlet;
  }
}
